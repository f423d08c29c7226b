import BackupModel
import FoundationEssentials

/// The tablespaces that the WAL of a recovery makes: PostgreSQL puts them where its source had them, and nowhere else.
///
/// A server that recovers takes such a directory as it is, also one that its source is still using, and writes into it.
struct CreatedTablespaces {
    let creations: [WALSegmentSummary.TablespaceCreation]

    init(in plan: RecoveryPlan, _ index: ArchiveIndex) throws(BackupError) {
        let end = plan.target == .latest ? LogSequenceNumber(position: .max) : plan.end.mark.lsn
        creations = try index.tablespaceCreations(in: plan.segments).filter {
            $0.lsn >= plan.backup.start && $0.lsn <= end
        }
    }

    /// What has to be known before the server starts.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable`` for a copy that would write into a directory that is in use.
    func warnings(for request: PhysicalRestore.Request) throws(BackupError) -> [String] {
        if !request.mayMakeTablespaces, let made = creations.first {
            throw BackupError(
                .targetUnsuitable, "The restored server would make a directory of its source: '\(made.location)'.",
                reason:
                    "tablespace \(made.oid) was made there at \(made.lsn), after the backup began, and nothing outside "
                    + "'\(request.directory)' is to be written to",
                remedy: "Take a new backup, which has the tablespace, or choose a moment before \(made.lsn).",
                unchanged: "Nothing was restored.")
        }
        if !request.asPrimary, let taken = creations.first(where: { Self.isUsed($0.location) }) {
            throw BackupError(
                .targetUnsuitable,
                "The restored server would write into '\(taken.location)', where another server's tablespace may be.",
                reason: "tablespace \(taken.oid) was made there at \(taken.lsn), after the backup began, and a server "
                    + "that recovers takes the directory that its source had",
                remedy:
                    "Restore a newer backup, which has the tablespace, with --tablespace \(taken.oid)=/DIRECTORY; or "
                    + "to a moment before \(taken.lsn); or on a host that has no '\(taken.location)'. If the source is "
                    + "gone for good, add --as-primary.", unchanged: "Nothing was restored.")
        }
        return creations.map {
            "the WAL makes tablespace \($0.oid) in '\($0.location)': before the server starts that directory must be "
                + "there, belong to its user, and be no other server's"
        }
    }

    private static func isUsed(_ path: String) -> Bool {
        HostFacts.exists(path) && (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty != true
    }
}
