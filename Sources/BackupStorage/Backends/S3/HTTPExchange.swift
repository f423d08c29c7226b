internal import AsyncHTTPClient
internal import BackupModel
internal import Dispatch
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Synchronization

/// A request that was sent, and its answer as it comes; for one thread at a time.
///
/// One that is dropped before its end is cancelled.
final class HTTPExchange: Sendable {
    private let answer: IncomingAnswer
    private let task: HTTPClient.Task<Void>

    init(_ answer: IncomingAnswer, task: HTTPClient.Task<Void>) {
        self.answer = answer
        self.task = task
    }

    deinit { cancel() }

    /// The status and the headers, when they are there.
    func head() throws(ConnectionFailure) -> HTTPResponseHead {
        guard case .head(let head) = try answer.next(of: task) else { throw .dropped("it has no status") }
        return head
    }

    /// The next bytes of the body, or `nil` after the last: only then was all of it there.
    func next() throws(ConnectionFailure) -> ByteBuffer? {
        switch try answer.next(of: task) {
        case .part(let buffer, let taken):
            taken.succeed()
            return buffer
        case .end: return nil
        case .head: throw .dropped("it has two statuses")
        }
    }

    /// All of the body, of which at most `limit` bytes are waited for.
    func body(limit: Int) throws(ConnectionFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        while let part = try next() {
            guard bytes.count + part.readableBytes <= limit else {
                throw .invalid("the answer is longer than \(limit) bytes")
            }
            bytes += part.readableBytesView
        }
        return bytes
    }

    /// Ends what has not ended.
    func cancel() {
        if answer.abandon() { task.cancel() }
    }
}

/// Hands an answer from the thread of the connection to the one that waits for it, a part at a time.
final class IncomingAnswer: HTTPClientResponseDelegate {
    enum Event: Sendable {
        case head(HTTPResponseHead)
        /// Bytes, and what to keep when they are taken: the next ones are read from then on.
        case part(ByteBuffer, EventLoopPromise<Void>)
        case end
    }

    private struct State {
        var events: [Result<Event, ConnectionFailure>] = []
        var wasSent = false
        var isOver = false
        var isAbandoned = false
    }

    private let state = Mutex(State())
    private let available = DispatchSemaphore(value: 0)
    private let isEnding: @Sendable () -> Bool

    /// How long a request may still take when this program is to end.
    private static let grace: Duration = .seconds(10)
    private static let slice: Duration = .milliseconds(200)

    init(isEnding: @escaping @Sendable () -> Bool) { self.isEnding = isEnding }

    /// What comes next; after the end or a failure there is nothing more to wait for.
    func next(of task: HTTPClient.Task<Void>) throws(ConnectionFailure) -> Event {
        var waited = Duration.zero
        while available.wait(timeout: .now() + .milliseconds(200)) == .timedOut {
            guard isEnding() else { continue }
            waited += Self.slice
            if waited >= Self.grace {
                if abandon() { task.cancel() }
                throw .cancelled
            }
        }
        let next = state.withLock { $0.events.isEmpty ? nil : $0.events.removeFirst() }
        guard let next else { throw .dropped("it is over") }
        return try next.get()
    }

    /// Wants nothing more; returns whether something may still come.
    func abandon() -> Bool {
        let (wasOpen, left) = state.withLock { state in
            let wasOpen = !state.isOver && !state.isAbandoned
            state.isAbandoned = true
            defer { state.events = [] }
            return (wasOpen, state.events)
        }
        for case .success(.part(_, let taken)) in left { taken.fail(HTTPClientError.cancelled) }
        return wasOpen
    }

    func didSendRequestHead(task: HTTPClient.Task<Void>, _ head: HTTPRequestHead) {
        state.withLock { $0.wasSent = true }
    }

    func didReceiveHead(task: HTTPClient.Task<Void>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        hand(over: .success(.head(head)))
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<Void>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        let taken = task.eventLoop.makePromise(of: Void.self)
        if !hand(over: .success(.part(buffer, taken))) { taken.fail(HTTPClientError.cancelled) }
        return taken.futureResult
    }

    func didFinishRequest(task: HTTPClient.Task<Void>) throws {
        hand(over: .success(.end), isLast: true)
    }

    func didReceiveError(task: HTTPClient.Task<Void>, _ error: any Error) {
        let wasSent = state.withLock { $0.wasSent }
        hand(over: .failure(ConnectionFailure(error, afterSending: wasSent)), isLast: true)
    }

    /// Returns `false` when nobody wants it any more.
    @discardableResult
    private func hand(over event: Result<Event, ConnectionFailure>, isLast: Bool = false) -> Bool {
        let isWanted = state.withLock { state in
            guard !state.isOver else { return false }
            state.isOver = isLast
            guard !state.isAbandoned else { return false }
            state.events.append(event)
            return true
        }
        if isWanted { available.signal() }
        return isWanted
    }
}

extension ConnectionFailure {
    /// What an error of AsyncHTTPClient, or of what is below it, means for a request of which something was sent, or
    /// nothing yet.
    init(_ error: any Error, afterSending wasSent: Bool) {
        // In the words for a header that cannot be sent stands what is in it: a token, if it ends with a line break.
        let words = (error as? HTTPClientError)?.shortDescription ?? "\(error)"
        switch error as? HTTPClientError {
        case let known? where known.shortDescription == HTTPClientError.invalidHeaderFieldValues([]).shortDescription:
            self = .invalid("a header would have a line break or the like: perhaps the credentials have one")
        case .readTimeout?, .writeTimeout?, .deadlineExceeded?: self = .timedOut
        case .cancelled?: self = .cancelled
        case .invalidURL?, .emptyHost?, .emptyScheme?: self = .invalid(words)
        case _ where words.contains("CERTIFICATE_VERIFY_FAILED"):
            self = .notTrusted("the certificate of the store is not one of those that are trusted")
        case _ where error is NIOSSLExtraError: self = .notTrusted(words)
        // Who ends the connection before there is anything to trust may be about to start, or to be replaced.
        case _ where error as? NIOSSLError == .handshakeFailed(.sslError([.eofDuringHandshake])):
            self = .unreachable("the connection ended while TLS was agreed on")
        case _ where error is NIOSSLError && !wasSent && !words.contains("uncleanShutdown"):
            self = .notTrusted("TLS could not be agreed on: \(words)")
        default: self = wasSent ? .dropped(words) : .unreachable(words)
        }
    }
}
