import Dispatch
internal import Synchronization

/// Stands between a client and a server of HTTP, and does to each request what a test wants.
///
/// Every connection carries one request. All of them end when the last reference goes: a test that has no more questions
/// holds it by stopping it at its own end.
package final class FaultProxy: Sendable {
    /// A request as it arrives.
    package struct Request: Sendable {
        package let method: String
        /// The path with the parameters.
        package let target: String
        package let headers: [String: String]
        /// The body, where no server gets it.
        package let body: String
        /// How many requests came before it.
        package let number: Int
    }

    /// What becomes of a request.
    package enum Fate: Sendable {
        /// It is handed on, and so is its answer.
        case pass
        /// It is answered here.
        case answer(String, body: String = "", headers: [String] = [])
        /// It is answered here with what is only the beginning of an answer of so many bytes.
        case answerBeginning(String, of: Int, headers: [String] = [])
        /// The connection ends after so many bytes of the request's body were handed on.
        case cutRequest(after: Int)
        /// Nothing of it is handed on, and the connection ends.
        case drop
        /// It is handed on, and nothing of its answer comes back.
        case loseAnswer
        /// The connection ends after so many bytes of the answer's body.
        case cutAnswer(after: Int)
        /// Nothing comes after so many bytes of the answer's body, and the connection stays.
        case stallAnswer(after: Int)
        /// The answer says that its bytes are others than those that it has.
        case wrongRange
    }

    private let listener: LocalSocket
    private let server: UInt16?
    private let decide: @Sendable (Request) -> Fate
    private let seen = Mutex<[Request]>([])
    private let open = Mutex<[LocalSocket]>([])

    /// Listens for requests to the server at `port` of this host, or to nobody.
    package init(to port: UInt16? = nil, _ decide: @escaping @Sendable (Request) -> Fate) throws {
        server = port
        self.decide = decide
        listener = try LocalSocket.listening()
        // Only what the loop needs: it must not keep the proxy alive.
        let listener = listener
        DispatchQueue(label: "apex-backup.tests.proxy").async { [weak self] in
            while let client = listener.accept() {
                guard let self else { return }
                open.withLock { $0.append(client) }
                DispatchQueue(label: "apex-backup.tests.proxied").async { self.serve(client) }
            }
        }
    }

    deinit { stop() }

    /// Where it listens.
    package var endpoint: String { "http://127.0.0.1:\(listener.port)" }

    /// The requests that came.
    package var requests: [Request] { seen.withLock { $0 } }

    /// How many connections there were; one that is not begun with HTTP is hung up on.
    package var connections: Int { open.withLock { $0.count } }

    /// Ends all connections.
    package func stop() {
        listener.shutDown()
        for socket in open.withLock({ $0 }) { socket.shutDown() }
    }

    private func serve(_ client: LocalSocket) {
        defer { client.shutDown() }
        var bytes: [UInt8] = []
        guard let head = Self.head(from: client, &bytes) else { return }
        let lines = head.split(separator: "\r\n").map(String.init)
        let words = lines[0].split(separator: " ").map(String.init)
        guard words.count == 3 else { return }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
            if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
        }
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        if server == nil, !Self.readRest(from: client, length, &bytes) { return }
        let body = server == nil ? String(decoding: bytes, as: UTF8.self) : ""
        let request = seen.withLock { [headers] seen in
            let request = Request(
                method: words[0], target: words[1], headers: headers, body: body, number: seen.count)
            seen.append(request)
            return request
        }
        let fate = decide(request)
        if case .answer(let status, let body, let more) = fate {
            guard Self.readRest(from: client, length, &bytes) else { return }
            let lines = ["HTTP/1.1 \(status)", "Content-Length: \(body.utf8.count)", "Connection: close"] + more
            _ = client.write(Array("\(lines.joined(separator: "\r\n"))\r\n\r\n\(body)".utf8))
            return
        }
        if case .answerBeginning(let body, let count, let more) = fate {
            let lines = ["HTTP/1.1 200 OK", "Content-Length: \(count)", "Connection: close"] + more
            _ = client.write(Array("\(lines.joined(separator: "\r\n"))\r\n\r\n\(body)".utf8))
            return
        }
        if case .drop = fate { return }
        guard let server, let upstream = try? LocalSocket.connected(to: server) else { return }
        defer { upstream.shutDown() }
        let kept = lines.filter { !$0.lowercased().hasPrefix("connection:") } + ["Connection: close"]
        guard upstream.write(Array("\(kept.joined(separator: "\r\n"))\r\n\r\n".utf8)) else { return }
        guard Self.handOn(bytes, length, from: client, to: upstream, fate) else { return }
        handBack(from: upstream, to: client, fate)
    }

    /// Reads until there are `length` bytes; returns `false` when the connection ends before.
    private static func readRest(from client: LocalSocket, _ length: Int, _ bytes: inout [UInt8]) -> Bool {
        while bytes.count < length {
            let part = client.read()
            guard !part.isEmpty else { return false }
            bytes += part
        }
        return true
    }

    /// Hands on the request's body; returns `false` when the connection is to end.
    private static func handOn(
        _ beginning: [UInt8], _ length: Int, from client: LocalSocket, to upstream: LocalSocket, _ fate: Fate
    ) -> Bool {
        var limit = length
        if case .cutRequest(let count) = fate { limit = min(limit, count) }
        var part = Array(beginning.prefix(limit))
        var done = 0
        while true {
            guard upstream.write(part) else { return false }
            done += part.count
            if done >= limit { break }
            part = Array(client.read().prefix(limit - done))
            if part.isEmpty { return false }
        }
        if case .cutRequest = fate { return false }
        return true
    }

    private func handBack(from upstream: LocalSocket, to client: LocalSocket, _ fate: Fate) {
        var body: [UInt8] = []
        guard var head = Self.head(from: upstream, &body) else { return }
        if case .loseAnswer = fate { return }
        var limit = Int.max
        var stalls = false
        switch fate {
        case .cutAnswer(let count): limit = count
        case .stallAnswer(let count): (limit, stalls) = (count, true)
        case .wrongRange: head = head.replacing("Content-Range: bytes ", with: "Content-Range: bytes 1")
        default: break
        }
        guard client.write(Array("\(head)\r\n\r\n".utf8)) else { return }
        var done = 0
        while !body.isEmpty {
            let part = Array(body.prefix(limit - done))
            guard client.write(part) else { return }
            done += part.count
            if done >= limit {
                // Until the client gives up.
                if stalls { while !client.read().isEmpty {} }
                return
            }
            body = upstream.read()
        }
    }

    /// The lines up to the empty one; what came after it is left in `rest`.
    private static func head(from socket: LocalSocket, _ rest: inout [UInt8]) -> String? {
        let end = Array("\r\n\r\n".utf8)
        var bytes: [UInt8] = []
        while true {
            if let range = bytes.firstRange(of: end) {
                rest = Array(bytes[range.upperBound...])
                return String(decoding: bytes[..<range.lowerBound], as: UTF8.self)
            }
            let part = socket.read()
            guard !part.isEmpty, bytes.count < 1 << 20 else { return nil }
            bytes += part
            // TLS begins with a number.
            guard let first = bytes.first, first >= UInt8(ascii: "A") else { return nil }
        }
    }
}
