import ApexBackup
import ArgumentParser
import BackupModel

struct WALReceiveCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "receive",
        abstract: "Receive the write-ahead log as the server writes it, over a replication slot.",
        discussion: """
            Stores finished segments, and every few seconds what there is of the one that is not finished: a failure of \
            the server loses seconds. It goes on where the archive ends, reconnects, and follows timelines, until \
            SIGTERM. The role needs REPLICATION; PostgreSQL 15 or newer.

            The slot keeps WAL on the server while nothing receives: limit that by max_slot_wal_keep_size, and remove \
            the slot with --drop-slot when it is not used any more. Its name is also the application_name: a server \
            whose synchronous_standby_names holds it commits when the repository has the commit.

            EXAMPLE
              apex-backup wal receive --interval 5s

            EXIT STATUS
              0 asked to stop, and everything is stored   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "The replication slot, made if it is not there; apex_backup_CLUSTER unless given.")
    var slot: String?

    @Option(help: "For how long WAL may be in memory only, for example 5s.")
    var interval = "5s"

    @Option(help: "How often a heartbeat is written, 1s to a tenth of objectives.rpo; 0s for never.")
    var heartbeat = "30s"

    @Flag(help: "Store as soon as anything comes, whether or not the server waits for it.")
    var synchronous = false

    @Flag(help: "Remove the slot from the server, and end.")
    var dropSlot = false

    func validate() throws {
        guard let interval = DurationText.parse(interval), interval > .zero else {
            throw ValidationError("--interval takes a duration such as 5s.")
        }
        guard DurationText.parse(heartbeat) != nil else {
            throw ValidationError("--heartbeat takes a duration such as 30s, or 0s.")
        }
        guard slot.map({ ReplicationSlotName(parsing: $0) != nil }) ?? true else {
            throw ValidationError("--slot takes 1 to 63 lower-case letters, digits and underscores.")
        }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let slot =
            slot.flatMap { ReplicationSlotName(parsing: $0) } ?? ReplicationSlotName(ofCluster: settings.policy.name)
        let reception = WALReception(
            connection: try settings.connection(),
            request: .init(
                slot: slot, interval: DurationText.parse(interval) ?? .zero,
                heartbeat: settings.policy.objectives.heartbeat(every: DurationText.parse(heartbeat) ?? .zero),
                isSynchronous: synchronous),
            open: { () throws(BackupError) in try settings.repository() })
        if dropSlot {
            let wasThere = try await reception.dropSlot()
            console.hasDone("Dropped the replication slot '\(slot)'.")
            if console.isJSON {
                console.print(json: DroppedSlot(slot: slot.description, wasThere: wasThere))
            } else {
                console.print(
                    wasThere
                        ? "Dropped the replication slot '\(slot)'." : "There is no replication slot '\(slot)'.")
            }
            return 0
        }
        let result = try await reception.run()
        if console.isJSON {
            console.print(json: result)
        } else {
            let end = result.storedEnd.map { "\($0)" } ?? "nothing"
            console.print(
                "Received \(formatBytes(result.bytes)) of WAL: \(result.segments) segments, \(result.pieces) pieces. "
                    + "Stored up to \(end).")
        }
        return 0
    }

    private struct DroppedSlot: Encodable {
        var slot: String
        var wasThere: Bool
    }
}
