import BackupModel
import BackupStorage

/// Hands a dump to psql in its restricted mode, in which a script cannot run `\!` or any other meta command.
///
/// A dump of a recent pg_dump brings its own `\restrict` line before its first statement, and at its end `\unrestrict`
/// with the same token (CVE-2025-8714). Both are taken out, and the whole is wrapped with a token that the dump cannot
/// know.
final class RestrictedScriptSink: ByteSink {
    private let token: String
    private let next: any ByteSink
    /// Bytes kept back: at the start until the head was looked at, later the last of the stream.
    private var held: [UInt8] = []
    private var ownToken: [UInt8]?
    private var headIsDone = false

    private static let headSize = 4096
    private static let tailSize = 4096
    private static let newline = UInt8(ascii: "\n")

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
        guard headIsDone else { return try collectHead(bytes) }
        guard bytes.count >= Self.tailSize else {
            hold(bytes)
            guard held.count > 2 * Self.tailSize else { return }
            return try passOn(held.count - Self.tailSize)
        }
        try passOn(held.count)
        let passed = bytes.count - Self.tailSize
        try next.write(bytes.extracting(0..<passed))
        hold(bytes.extracting(passed..<bytes.count))
    }

    func finish() throws(BackupError) {
        try finishHead()
        if let ownToken { remove(lastLine: Array("\\unrestrict ".utf8) + ownToken) }
        try passOn(held.count)
        try next.write(Array("\n\\unrestrict \(token)\n".utf8).span)
        try next.finish()
    }

    private func hold(_ bytes: Span<UInt8>) {
        for index in bytes.indices { held.append(bytes[index]) }
    }

    private func passOn(_ count: Int) throws(BackupError) {
        let passed = Array(held.prefix(count))
        held.removeFirst(count)
        try next.write(passed.span)
    }

    private func collectHead(_ bytes: Span<UInt8>) throws(BackupError) {
        let taken = min(Self.headSize - held.count, bytes.count)
        hold(bytes.extracting(0..<taken))
        guard held.count >= Self.headSize else { return }
        try finishHead()
        if taken < bytes.count { try write(bytes.extracting(taken..<bytes.count)) }
    }

    /// Takes the dump's own line out, which only comments and empty lines may precede.
    private func finishHead() throws(BackupError) {
        guard !headIsDone else { return }
        headIsDone = true
        let command = Array("\\restrict ".utf8)
        var start = 0
        while start < held.count {
            let end = held[start...].firstIndex(of: Self.newline) ?? held.count
            let line = held[start..<end]
            if line.starts(with: command) {
                ownToken = Array(line.dropFirst(command.count))
                held.removeSubrange(start..<min(end + 1, held.count))
                break
            }
            guard line.isEmpty || line.starts(with: Array("--".utf8)) else { break }
            start = end + 1
        }
        try next.write(Array("\\restrict \(token)\n".utf8).span)
    }

    private func remove(lastLine line: [UInt8]) {
        guard
            var start = (0...max(0, held.count - line.count)).last(where: { index in
                held[index...].starts(with: line) && (index == 0 || held[index - 1] == Self.newline)
                    && (index + line.count == held.count || held[index + line.count] == Self.newline)
            })
        else { return }
        var end = start + line.count
        if end < held.count { end += 1 } else if start > 0 { start -= 1 }
        held.removeSubrange(start..<end)
    }
}
