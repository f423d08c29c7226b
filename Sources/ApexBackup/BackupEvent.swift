/// What an operation tells while it runs; the command line turns it into lines on standard error.
public enum BackupEvent: Sendable, Hashable {
    /// A phase has begun, or still goes on.
    case phase(String)
    /// Bytes of content captured, read or restored so far, and the whole when it is known.
    case progress(subject: String, bytes: Int64, of: Int64?)
    /// Something an operator should know, though the operation goes on.
    case warning(String)
    /// Something worth a line.
    case note(String)
}
