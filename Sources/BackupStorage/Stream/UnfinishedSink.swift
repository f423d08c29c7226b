package import BackupModel

/// Passes bytes on, but not the end: more follows before what they are written to is over.
package final class UnfinishedSink: ByteSink {
    private let next: any ByteSink

    package init(_ next: any ByteSink) { self.next = next }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) { try next.write(bytes) }
    package func finish() throws(BackupError) {}
}
