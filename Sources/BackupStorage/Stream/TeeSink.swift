package import BackupModel

/// Gives the same bytes to two stages, one after the other.
package final class TeeSink: ByteSink {
    private let first: any ByteSink
    private let second: any ByteSink

    /// Writes to `first`, then to `second`; what `first` throws never reaches `second`.
    package init(_ first: any ByteSink, _ second: any ByteSink) {
        self.first = first
        self.second = second
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try first.write(bytes)
        try second.write(bytes)
    }

    package func finish() throws(BackupError) {
        try first.finish()
        try second.finish()
    }
}
