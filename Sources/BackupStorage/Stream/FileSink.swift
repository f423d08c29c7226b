package import BackupModel

/// Writes to an open file or pipe; finishing closes it, which a child that reads the pipe sees as its end.
package final class FileSink: ByteSink {
    /// What is done before the file is closed.
    package enum Ending: Sendable {
        /// Nothing: for pipes and for files that may be lost.
        case close
        /// The content is made durable.
        case synchronize
    }

    private var file: OpenFile
    private let ending: Ending

    /// Takes over `file`, which is closed without a word when the sink is dropped unfinished.
    package init(_ file: consuming OpenFile, ending: Ending) {
        self.file = file
        self.ending = ending
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) { try file.write(bytes) }

    package func finish() throws(BackupError) {
        if ending == .synchronize { try file.synchronize() }
        try file.close()
    }
}
