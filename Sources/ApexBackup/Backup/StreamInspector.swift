import BackupModel
import BackupStorage

/// Looks at the content of a dump while it streams by, and tells at the end whether it was complete.
protocol StreamInspector: AnyObject {
    func inspect(_ bytes: Span<UInt8>) throws(BackupError)
    func finish() throws(BackupError)
}

/// Counts the rows of a database's dump in the captured stream: they say what was captured, at no cost to the server.
final class RowInspector: StreamInspector {
    private var archive: ArchiveRowCounter?
    private var plain: PlainRowCounter?
    private(set) var counts: [TableRowCount] = []
    /// Large objects in a custom-format dump.
    private(set) var largeObjects: Int64?

    init(_ format: DumpFormat) {
        switch format {
        case .custom: archive = ArchiveRowCounter()
        case .plain: plain = PlainRowCounter()
        }
    }

    func inspect(_ bytes: Span<UInt8>) throws(BackupError) {
        try archive?.consume(bytes)
        plain?.consume(bytes)
    }

    func finish() throws(BackupError) {
        if let counted = try archive?.finish() { counts = counted }
        if let counted = try plain?.finish() { counts = counted }
        largeObjects = archive?.largeObjects
    }
}

/// Demands the last line of `pg_dumpall`.
final class TrailerInspector: StreamInspector {
    private var trailer = DumpTrailer()

    func inspect(_ bytes: Span<UInt8>) throws(BackupError) { trailer.consume(bytes) }

    func finish() throws(BackupError) {
        guard trailer.isComplete(.cluster) else {
            throw BackupError(
                .dumpIncomplete, "The output of pg_dumpall ended without its last line.",
                reason: "'-- PostgreSQL database cluster dump complete' is missing",
                remedy: "Look for the reason in the server's log, and take the backup again.")
        }
    }
}
