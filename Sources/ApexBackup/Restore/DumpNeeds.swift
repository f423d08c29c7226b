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
            try withDamageFirst { () throws(BackupError) in try readContent(for: .restore, into: sink) }
        } catch  where sink.isComplete {
            // The end of the table of contents ends the reading.
        } catch  where error == sink.failure {
            throw notUnderstood(error.code, error.messageWithReason)
        }
        guard sink.isComplete else { throw notUnderstood(.dumpIncomplete, "it is not whole") }
        return DumpNeeds(owners: sink.contents.owners, tablespaces: sink.contents.tablespaces)
    }

    private func notUnderstood(_ code: ErrorCode, _ reason: String) -> BackupError {
        BackupError(
            code, "The table of contents of '\(artefact.name)' of backup \(backup) is not understood.", reason: reason,
            remedy: "Use a newer apex-backup, restore it as its RESTORE.md says, or use another backup.")
    }

    /// Runs `body`, which reads the content as an archive: that it is none is told only if it is what was captured.
    func withDamageFirst(_ body: () throws(BackupError) -> Void) throws(BackupError) {
        do { try body() } catch  where error.code == .dumpIncomplete || error.code == .toolFailed {
            try readContent(into: DiscardSink())
            throw error
        }
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
