package import BackupModel

/// Takes everything and keeps nothing: the end of a stream that is only checked.
package final class DiscardSink: ByteSink {
    package init() {}

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {}

    package func finish() throws(BackupError) {}
}
