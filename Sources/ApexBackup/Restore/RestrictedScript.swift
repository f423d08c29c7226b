import BackupModel
import BackupStorage

/// Hands a dump to psql in its restricted mode, in which a script cannot run `\!` or any other meta command.
///
/// A dump of a recent pg_dump brings its own `\restrict` line, and at its end `\unrestrict` with the same token
/// (CVE-2025-8714). Both are taken out, and the whole is wrapped with a token that the dump cannot know.
final class RestrictedScriptSink: ByteSink {
    private let token: String
    private let next: any ByteSink
    /// Bytes kept back: at the start until the head was looked at, later the last of the stream.
    private var held: [UInt8] = []
    private var ownToken: [UInt8]?
    private var headIsDone = false

    private static let headSize = 4096
    private static let tailSize = 4096

    init(token: String, into next: any ByteSink) {
        self.token = token
        self.next = next
    }

    /// psql knows `\restrict` since 13.22, 14.19, 15.14, 16.10, 17.6 and 18.
    static func isKnown(toPsql version: String) -> Bool {
        let parts = version.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        guard let major = parts.first else { return false }
        let first = [13: 22, 14: 19, 15: 14, 16: 10, 17: 6]
        return major >= 18 || first[major].map { (parts.dropFirst().first ?? 0) >= $0 } ?? false
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        for index in bytes.indices { held.append(bytes[index]) }
        guard headIsDone || held.count >= Self.headSize else { return }
        try finishHead()
        guard held.count > 2 * Self.tailSize else { return }
        let ready = Array(held.dropLast(Self.tailSize))
        try next.write(ready.span)
        held.removeFirst(ready.count)
    }

    func finish() throws(BackupError) {
        try finishHead()
        if let ownToken { remove(line: Array("\\unrestrict ".utf8) + ownToken) }
        let rest = held
        try next.write(rest.span)
        try next.write(Array("\n\\unrestrict \(token)\n".utf8).span)
        try next.finish()
    }

    private func finishHead() throws(BackupError) {
        guard !headIsDone else { return }
        headIsDone = true
        let command = Array("\\restrict ".utf8)
        if let line = held.split(separator: UInt8(ascii: "\n")).first(where: { $0.starts(with: command) }) {
            ownToken = Array(line.dropFirst(command.count))
            remove(line: Array(line))
        }
        try next.write(Array("\\restrict \(token)\n".utf8).span)
    }

    /// Takes out the last line that is exactly `line`.
    private func remove(line: [UInt8]) {
        let newline = UInt8(ascii: "\n")
        guard
            var start = (0...max(0, held.count - line.count)).last(where: { index in
                held[index...].starts(with: line) && (index == 0 || held[index - 1] == newline)
                    && (index + line.count == held.count || held[index + line.count] == newline)
            })
        else { return }
        var end = start + line.count
        if end < held.count { end += 1 } else if start > 0 { start -= 1 }
        held.removeSubrange(start..<end)
    }
}
