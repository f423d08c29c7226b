internal import BackupModel
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Sends signed requests to one bucket, and tries again what may go well at another time.
final class S3Client: Sendable {
    let endpoint: S3Endpoint
    private let transport: HTTPTransport
    private let credentials: S3Credentials
    let environment: S3Environment
    private let signature: SignatureV4
    let retries: RetryPolicy
    private let clock = Mutex(StoreClock())

    private struct StoreClock {
        /// What the last answer said of the store's clock, beside this host's.
        var seen: Duration = .zero
        /// By how much requests are dated otherwise than this host's clock says.
        var correction: Duration = .zero
        var hasAnswered = false
    }

    init(
        endpoint: S3Endpoint, transport: HTTPTransport, credentials: S3Credentials, environment: S3Environment,
        retries: RetryPolicy
    ) {
        self.endpoint = endpoint
        self.transport = transport
        self.credentials = credentials
        self.environment = environment
        self.retries = retries
        signature = SignatureV4(region: endpoint.region, service: "s3")
    }

    /// Whether the store has ever answered: then an outage is one, and not a wrong address.
    var hasAnswered: Bool { clock.withLock { $0.hasAnswered } }

    /// The time by the store's clock, as far as it is known.
    var storeTime: Timestamp { environment.wall().advanced(by: clock.withLock { $0.seen }) }

    /// What this host's clock said when the store's said `time`, as far as that is known.
    func hostTime(of time: Timestamp) -> Timestamp { time.advanced(by: .zero - clock.withLock { $0.seen }) }

    /// The most bytes that an answer which is no object may have.
    private static let largestAnswer = 16 << 20

    /// Sends a request until it succeeds, is refused for good, or the time for it is over: `budget`, if that is less.
    ///
    /// `check` finds a refusal in an answer whose status says success.
    func send(
        _ request: S3Request, within budget: Duration? = nil,
        checking check: (S3Answer) -> S3Refusal? = { _ in nil }
    ) throws(S3Failure) -> S3Answer {
        var attempts = S3Attempts(of: self, within: budget)
        while true {
            do throws(S3Failure) {
                let exchange = try begin(request)
                let answer = try answer(of: exchange, to: request)
                if let refusal = check(answer) { throw .refused(refusal) }
                return answer
            } catch {
                try attempts.waitAndGoOn(after: error)
            }
        }
    }

    /// The headers of the answer to a request whose body is of no interest.
    func headers(of request: S3Request) throws(S3Failure) -> HTTPHeaders {
        var attempts = S3Attempts(of: self)
        while true {
            do throws(S3Failure) {
                let exchange = try begin(request)
                let headers = try head(of: exchange, to: request).headers
                // A small rest is read, so that the connection can be used again.
                let rest = headers.first(name: "content-length").flatMap { Int($0) }
                if let rest, rest <= Self.smallRest { _ = try? exchange.body(limit: Self.smallRest) }
                return headers
            } catch {
                try attempts.waitAndGoOn(after: error)
            }
        }
    }

    private static let smallRest = 64 << 10

    /// The answer to one attempt, all of it; a status that is no success is thrown.
    func answer(of exchange: HTTPExchange, to request: S3Request) throws(S3Failure) -> S3Answer {
        let head = try head(of: exchange, to: request)
        do {
            return S3Answer(headers: head.headers, body: try exchange.body(limit: Self.largestAnswer))
        } catch {
            throw .connection(error)
        }
    }

    /// The status and headers of one attempt; a status that is no success is thrown.
    func head(of exchange: HTTPExchange, to request: S3Request) throws(S3Failure) -> HTTPResponseHead {
        let head: HTTPResponseHead
        do { head = try exchange.head() } catch { throw .connection(error) }
        note(head.headers.first(name: "date"))
        guard !(200..<300).contains(head.status.code) else { return head }
        var body: [UInt8] = []
        do { body = try exchange.body(limit: Self.largestAnswer) } catch {
            // What refuses a request need not read it to its end: then the connection may end before the words for it
            // are here. Only what is not there must be said in words.
            guard (400..<500).contains(head.status.code), head.status != .notFound else { throw .connection(error) }
        }
        var document = S3ErrorDocument(body) ?? S3ErrorDocument()
        if document.requestID.isEmpty { document.requestID = head.headers.first(name: "x-amz-request-id") ?? "" }
        if document.region == nil { document.region = head.headers.first(name: "x-amz-bucket-region") }
        throw .refused(
            S3Refusal(
                status: Int(head.status.code), document: document, wasOfKnownObject: request.isOfKnownObject,
                retryAfter: head.headers.first(name: "retry-after").flatMap { UInt16($0) }.map { .seconds(Int($0)) }))
    }

    /// Signs and sends one attempt of a request.
    func begin(_ request: S3Request) throws(S3Failure) -> HTTPExchange {
        let credentials: AWSCredentials
        do { credentials = try self.credentials.current() } catch { throw .other(error) }
        let now = environment.wall().advanced(by: clock.withLock { $0.correction })
        let payload = request.body.digest.description
        var headers =
            [
                ("host", endpoint.host), ("x-amz-date", now.compact), ("x-amz-content-sha256", payload),
            ] + request.headers
        if let token = credentials.sessionToken { headers.append(("x-amz-security-token", token)) }
        let path = endpoint.path(of: request.name)
        let authorization = signature.authorization(
            of: .init(
                method: request.method, path: path, query: request.query, headers: headers, payload: payload),
            with: credentials, at: now)
        headers += [("authorization", authorization), ("user-agent", "apex-backup")]
        let query = request.query.isEmpty ? "" : "?\(SignatureV4.canonicalQuery(request.query))"
        do {
            return try transport.begin(
                request.method, "\(endpoint.base)\(path)\(query)", headers: headers, body: request.body.buffer)
        } catch {
            throw .connection(error)
        }
    }

    private func note(_ date: String?) {
        let seen = date.flatMap { HTTPDate.parse($0) }?.since(environment.wall())
        clock.withLock { clock in
            clock.hasAnswered = true
            if let seen { clock.seen = seen }
        }
    }

    /// Dates requests by the store's clock from now on.
    func correctClock() { clock.withLock { $0.correction = $0.seen } }

    /// Gets new credentials for the next request.
    func renewCredentials() { credentials.renew() }
}
