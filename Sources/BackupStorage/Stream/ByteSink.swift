package import BackupModel

/// A stage of a stream: takes bytes, does its part, and pushes what comes of it to the next stage.
///
/// A stage is used by one thread at a time and is of no more use after it has thrown.
package protocol ByteSink: AnyObject {
    /// Consumes all of `bytes` before returning; does not keep them.
    func write(_ bytes: Span<UInt8>) throws(BackupError)
    /// Flushes what is buffered and finishes the next stage. Called once, and only after success.
    func finish() throws(BackupError)
}
