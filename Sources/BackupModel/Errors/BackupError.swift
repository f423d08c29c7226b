/// The one error type of apex-backup: what happened, why, what to do, and what was not changed.
///
/// Texts never hold a password, a connection string with one, or the text of a statement that may hold one.
public struct BackupError: Error, Sendable, Hashable, Codable {
    /// The kind of failure.
    public var code: ErrorCode
    /// What happened: one sentence that names the object, database, file or host.
    public var message: String
    /// Why it happened, as far as it is known: the words of the server, the child or the operating system.
    public var reason: String?
    /// What to do next.
    public var remedy: String
    /// What was *not* changed, so that the reader knows what is still safe.
    public var unchanged: String?

    /// Makes an error from its parts.
    public init(
        _ code: ErrorCode, _ message: String, reason: String? = nil, remedy: String, unchanged: String? = nil
    ) {
        self.code = code
        self.message = message
        self.reason = reason
        self.remedy = remedy
        self.unchanged = unchanged
    }

    /// The message and, as far as it is known, the reason, as they stand in a longer text.
    package var messageWithReason: String { reason.map { "\(message) \($0)" } ?? message }

    /// The same error with `text` as its statement of what was not changed, unless it has one already.
    public func leaving(_ text: String) -> BackupError {
        var copy = self
        copy.unchanged = unchanged ?? text
        return copy
    }
}

extension BackupError: CustomStringConvertible {
    /// The error as an operator reads it, over several lines.
    public var description: String {
        let kind = "(\(code.rawValue))"
        var lines = reason.map { [message, "  why:  \($0) \(kind)"] } ?? ["\(message) \(kind)"]
        lines.append("  do:   \(remedy)")
        if let unchanged { lines.append("  kept: \(unchanged)") }
        return lines.joined(separator: "\n")
    }
}
