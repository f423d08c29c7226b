import BackupModel
import FoundationEssentials
import PostgresAccess

/// What drills and restores of tables that were killed have left: scratch directories, perhaps with a server that still
/// runs.
struct DrillLeftovers: Sendable {
    /// How the name of a scratch directory begins.
    private static let prefix = "apex-drill-"

    /// The name of the scratch directory of a run.
    static func name(of run: RunID) -> String { prefix + run.text.lowercased() }

    /// Where scratch directories are made unless a policy says otherwise, as PostgreSQL writes it in its settings.
    static func usualParent(_ environment: BackupEnvironment) -> String {
        normalized(environment.variables["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp")
    }

    /// `path` without slashes that mean nothing.
    static func normalized(_ path: String) -> String {
        "/" + path.split(separator: "/").joined(separator: "/")
    }

    /// The directory in which scratch directories are made.
    let parent: String
    let environment: BackupEnvironment

    /// Removes those whose run has certainly ended, and tells of each; also of one of which that cannot be known.
    func remove() async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names.sorted() where Self.isOfRun(name) {
            let directory = "\(parent)/\(name)"
            do {
                if try await ScratchServer.stopLeftover(directory: directory) {
                    environment.note("Removed '\(directory)', which a run that was killed had left.")
                }
            } catch {
                let known = RunLog.describe(error)
                let reason = known.reason.map { " (\($0))" } ?? ""
                environment.warn(
                    "A run that was killed may have left this: \(known.message)\(reason) \(known.remedy)")
            }
        }
    }

    /// Whether a run may have made it: others' names may begin alike.
    private static func isOfRun(_ name: String) -> Bool {
        guard name.hasPrefix(prefix) else { return false }
        let parts = name.dropFirst(prefix.count).split(separator: "-", maxSplits: 1)
        return parts.count == 2 && RunID(parsing: "\(parts[0].uppercased())-\(parts[1])") != nil
    }
}
