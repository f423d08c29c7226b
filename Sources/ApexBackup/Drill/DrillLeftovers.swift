import BackupModel
import FoundationEssentials
import PostgresAccess

/// What drills that were killed have left: scratch directories, perhaps with a server that still runs.
struct DrillLeftovers: Sendable {
    /// How the name of a drill's scratch directory begins.
    static let prefix = "apex-drill-"

    /// The directory in which scratch directories are made.
    let parent: String
    let environment: BackupEnvironment

    /// Removes those whose drill has certainly ended, and tells of each.
    func remove() async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names.sorted() where name.hasPrefix(Self.prefix) {
            let directory = "\(parent)/\(name)"
            do {
                try await ScratchServer.stopLeftover(directory: directory)
                environment.note("Removed '\(directory)', which a drill that was killed had left.")
            } catch {
                let known = RunLog.describe(error)
                // One that is in use, or that no drill made.
                if known.code == .targetUnsuitable { continue }
                environment.warn("'\(directory)' is left of a drill that was killed: \(known.message)")
            }
        }
    }
}
