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

    /// Removes those whose drill has certainly ended, and tells of each; also of one of which that cannot be known.
    func remove() async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names.sorted() where Self.isOfDrill(name) {
            let directory = "\(parent)/\(name)"
            do {
                if try await ScratchServer.stopLeftover(directory: directory) {
                    environment.note("Removed '\(directory)', which a drill that was killed had left.")
                }
            } catch {
                let known = RunLog.describe(error)
                let reason = known.reason.map { " (\($0))" } ?? ""
                environment.warn(
                    "A drill that was killed may have left this: \(known.message)\(reason) \(known.remedy)")
            }
        }
    }

    /// Whether a drill may have made it: others' names may begin alike.
    private static func isOfDrill(_ name: String) -> Bool {
        guard name.hasPrefix(prefix) else { return false }
        let parts = name.dropFirst(prefix.count).split(separator: "-", maxSplits: 1)
        return parts.count == 2 && RunID(parsing: "\(parts[0].uppercased())-\(parts[1])") != nil
    }
}
