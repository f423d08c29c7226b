internal import AsyncHTTPClient
internal import BackupModel
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Sends requests over AsyncHTTPClient, for callers that block; made only when there is something to send.
final class HTTPTransport: Sendable {
    /// How long nothing may happen.
    struct Patience: Sendable {
        /// Until there is a connection.
        var connect: Duration = .seconds(10)
        /// Until the next bytes come or go.
        var idle: Duration = .seconds(60)
    }

    private let client: HTTPClient
    private let isEnding: @Sendable () -> Bool

    /// Which certificates are trusted.
    enum Trust: Sendable {
        /// The system's, and those of a file if there is one.
        case system(and: String? = nil)
        /// Those of a file alone.
        case file(String)
    }

    init(trust: Trust = .system(), patience: Patience = Patience(), isEnding: @escaping @Sendable () -> Bool) {
        self.isEnding = isEnding
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: .nanoseconds(patience.connect.wholeMicroseconds * 1000),
                read: .nanoseconds(patience.idle.wholeMicroseconds * 1000),
                write: .nanoseconds(patience.idle.wholeMicroseconds * 1000)))
        configuration.httpVersion = .http1Only
        // Attempts are counted in one place: that of the requests.
        configuration.connectionPool.retryConnectionEstablishment = false
        // As many as there may be streams, and two requests of each.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 160
        var tls = TLSConfiguration.makeClientConfiguration()
        switch trust {
        case .system(let file): tls.additionalTrustRoots = file.map { [.file($0)] } ?? []
        case .file(let file): tls.trustRoots = .file(file)
        }
        configuration.tlsConfiguration = tls
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit { client.shutdown { _ in } }

    /// Sends a request; what comes of it is asked of what this returns.
    func begin(
        _ method: String, _ url: String, headers: [(name: String, value: String)], body: ByteBuffer? = nil
    ) throws(ConnectionFailure) -> HTTPExchange {
        let request: HTTPClient.Request
        do {
            request = try HTTPClient.Request(
                url: url, method: HTTPMethod(rawValue: method), headers: HTTPHeaders(headers),
                body: body.map(Self.body))
        } catch {
            throw .invalid("\(error)")
        }
        let answer = IncomingAnswer(isEnding: isEnding)
        let task = client.execute(request: request, delegate: answer)
        // Some failures are told to nobody else: without this one would wait for ever.
        task.futureResult.whenFailure { answer.didReceiveError(task: task, $0) }
        return HTTPExchange(answer, task: task)
    }

    /// The body in pieces: that some of it went is seen after each.
    private static func body(_ buffer: ByteBuffer) -> HTTPClient.Body {
        .stream(contentLength: Int64(buffer.readableBytes)) { writer in send(buffer, to: writer) }
    }

    private static let pieceSize = 256 << 10

    private static func send(_ buffer: ByteBuffer, to writer: HTTPClient.Body.StreamWriter) -> EventLoopFuture<Void> {
        var rest = buffer
        let piece = rest.readSlice(length: min(pieceSize, rest.readableBytes)) ?? ByteBuffer()
        let sent = writer.write(.byteBuffer(piece))
        guard rest.readableBytes > 0 else { return sent }
        return sent.flatMap { [rest] in send(rest, to: writer) }
    }
}
