import BackupModel
import BackupStorage

/// What a dump names and does not bring along: roles that own its objects, and tablespaces.
struct DumpNeeds: Sendable {
    var owners: Set<String> = []
    var tablespaces: Set<String> = []
}

extension StoredArtefact {
    /// Reads the table of contents of a dump of the custom format; the needs of `chosen` entries, or of all.
    func needs(of chosen: Set<Int32>?) throws(BackupError) -> DumpNeeds {
        let sink = ContentsSink(ArchiveContentsReader(noting: chosen))
        do {
            try readContent(for: .restore, into: sink)
        } catch  where sink.isComplete || sink.failure != nil {
            // The end of the table of contents ends the reading, and what the reader cannot understand does.
        }
        guard sink.isComplete else {
            throw BackupError(
                .objectDamaged, "The table of contents of '\(artefact.name)' of backup \(backup) cannot be read.",
                reason: sink.failure?.reason ?? "it is not whole", remedy: "Use another backup ('apex-backup list').")
        }
        return DumpNeeds(owners: sink.contents.owners, tablespaces: sink.contents.tablespaces)
    }
}

/// Reads a table of contents and wants nothing after it.
private final class ContentsSink: ByteSink {
    private var reader: ArchiveContentsReader
    private(set) var failure: BackupError?

    init(_ reader: ArchiveContentsReader) { self.reader = reader }

    var isComplete: Bool { reader.isComplete }
    var contents: ArchiveContents { reader.contents }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        var position = 0
        do { try reader.consume(bytes, from: &position) } catch {
            failure = error
            throw error
        }
        guard !reader.isComplete else {
            throw BackupError(.pipeBroken, "The table of contents is read.", remedy: "Read no further.")
        }
    }

    func finish() throws(BackupError) {}
}
