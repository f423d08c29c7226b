import CLibPQ
import Dispatch
import Glibc
import Synchronization

/// A session with one PostgreSQL server.
///
/// The actor runs on a thread of its own, because libpq blocks: nothing here ever occupies a thread of the cooperative
/// pool. One statement runs at a time.
package actor PostgresSession {
    /// Where the session is connected.
    nonisolated package let settings: ConnectionSettings
    nonisolated let executor: SessionExecutor
    var connection: PostgresConnection?
    /// The error of the last statement that the server refused.
    package internal(set) var lastServerError: ServerError?

    /// The executor of this session's thread.
    nonisolated package var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(settings: ConnectionSettings) {
        self.settings = settings
        executor = SessionExecutor()
    }
}

/// A serial executor over a private queue, whose thread may block.
final class SessionExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "apex-backup.postgres-session")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { unsafe job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// One keyword that libpq knows.
struct ConnectionKeyword: Sendable {
    var name: String
    /// The environment variable libpq reads for it.
    var environmentVariable: String?
    /// The value the environment or the service file gives it, where that differs from libpq's own default.
    var environmentValue: String?
    var isSecret: Bool

    /// All keywords of the libpq in use, with what this process's environment says about them.
    static func all() -> [ConnectionKeyword] {
        guard let options = unsafe PQconndefaults() else { return [] }
        defer { unsafe PQconninfoFree(options) }
        var keywords: [ConnectionKeyword] = []
        var option = unsafe options
        while let name = unsafe text(option.pointee.keyword) {
            let value = unsafe text(option.pointee.val)
            let builtIn = unsafe text(option.pointee.compiled)
            keywords.append(
                ConnectionKeyword(
                    name: name, environmentVariable: unsafe text(option.pointee.envvar),
                    environmentValue: value == builtIn ? nil : value,
                    isSecret: unsafe text(option.pointee.dispchar) == "*"))
            unsafe option += 1
        }
        return keywords
    }
}

/// Reads a connection URL or keyword string with libpq's own parser.
///
/// The message of a failure may hold secrets.
func parseConninfo(_ conninfo: String) throws(ConninfoFailure) -> [String: String] {
    var message: UnsafeMutablePointer<CChar>?
    guard let options = unsafe PQconninfoParse(conninfo, &message) else {
        defer { unsafe PQfreemem(message) }
        throw ConninfoFailure(message: unsafe text(message) ?? "out of memory")
    }
    defer { unsafe PQconninfoFree(options) }
    var values: [String: String] = [:]
    var option = unsafe options
    while let name = unsafe text(option.pointee.keyword) {
        if let value = unsafe text(option.pointee.val) { values[name] = value }
        unsafe option += 1
    }
    return values
}

struct ConninfoFailure: Error {
    var message: String
}

/// Why a connection could not be made, in libpq's words.
struct ConnectFailure: Error {
    var message: String
    var sqlstate: String?
    var needsPassword = false
    /// The host that did not answer in time, as it was given.
    var silentHost: String?
}

/// What a statement can end with besides a result.
enum StatementFailure: Error {
    case server(ServerError)
    case connectionLost(String)
}

/// A libpq connection, used by its session's thread alone; only ``ConnectionInterrupt`` reaches it from elsewhere.
@safe final class PostgresConnection {
    private let handle: OpaquePointer
    let interrupt: ConnectionInterrupt

    private init(handle: OpaquePointer) {
        unsafe self.handle = unsafe handle
        interrupt = unsafe ConnectionInterrupt(cancelHandle: PQgetCancel(handle), socket: PQsocket(handle))
    }

    deinit {
        interrupt.retire()
        unsafe PQfinish(handle)
    }

    /// Connects; `timeout` is for each address that libpq tries, as its `connect_timeout` is.
    static func open(
        _ keywords: [(name: String, value: String)], timeout: Duration, isCancelled: () -> Bool
    ) throws(ConnectFailure) -> PostgresConnection {
        let started = unsafe withCStrings(keywords.map(\.name)) { names in
            unsafe withCStrings(keywords.map(\.value)) { values in unsafe PQconnectStartParams(names, values, 0) }
        }
        guard let handle = unsafe started else { throw ConnectFailure(message: "out of memory") }
        // In this mode libpq's message carries the SQLSTATE, which it offers in no other way before a connection is up.
        unsafe PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
        unsafe PQsetNoticeProcessor(handle, { _, _ in }, nil)
        do throws(ConnectFailure) {
            try unsafe waitUntilConnected(handle, timeout: timeout, isCancelled: isCancelled)
        } catch {
            unsafe PQfinish(handle)
            throw error
        }
        unsafe PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
        return unsafe PostgresConnection(handle: handle)
    }

    private static func waitUntilConnected(
        _ handle: OpaquePointer, timeout: Duration, isCancelled: () -> Bool
    ) throws(ConnectFailure) {
        var address = unsafe attemptedAddress(handle)
        var deadline = ContinuousClock.now + timeout
        var hasTimedOut = false
        var state = unsafe PQstatus(handle) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        while state != PGRES_POLLING_OK {
            if state == PGRES_POLLING_FAILED { throw unsafe failure(of: handle, timedOut: hasTimedOut) }
            if isCancelled() { throw ConnectFailure(message: "cancelled") }
            let events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT
            var wait = unsafe pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0)
            if unsafe poll(&wait, 1, 100) > 0 { state = unsafe PQconnectPoll(handle) }
            let current = unsafe attemptedAddress(handle)
            if current != address {
                address = current
                deadline = ContinuousClock.now + timeout
            } else if ContinuousClock.now >= deadline, state != PGRES_POLLING_OK {
                if hasTimedOut { throw unsafe failure(of: handle, timedOut: true) }
                // The socket now fails, so that libpq goes on to the next address if there is one.
                hasTimedOut = true
                deadline = ContinuousClock.now + .seconds(1)
                shutdown(unsafe PQsocket(handle), Int32(SHUT_RDWR))
            }
        }
    }

    private static func attemptedAddress(_ handle: OpaquePointer) -> [String?] {
        unsafe [text(PQhost(handle)), text(PQhostaddr(handle)), text(PQport(handle))]
    }

    private static func failure(of handle: OpaquePointer, timedOut: Bool) -> ConnectFailure {
        let message = unsafe text(PQerrorMessage(handle)) ?? ""
        return ConnectFailure(
            message: message, sqlstate: ServerError.lastSQLState(inVerboseText: message),
            needsPassword: unsafe PQconnectionNeedsPassword(handle) == 1,
            silentHost: timedOut ? unsafe text(PQhost(handle)) ?? "" : nil)
    }

    var serverVersionNumber: Int { Int(unsafe PQserverVersion(handle)) }
    var backendProcessID: Int32 { unsafe PQbackendPID(handle) }
    var isLost: Bool { unsafe PQstatus(handle) == CONNECTION_BAD }

    func parameter(_ name: String) -> String? { unsafe text(PQparameterStatus(handle, name)) }

    /// Runs `sql` and hands over each row as it arrives; with `parameters` it is one statement, without it may be several.
    ///
    /// - Throws: ``StatementFailure``, or what `onRow` throws, after the rest of the statement was cancelled.
    func run(
        _ sql: String, parameters: [String?]?, onColumns: ([String]) -> Void, onRow: ([String?]) throws -> Void
    ) throws {
        try interrupt.sending { try send(sql, parameters) }
        unsafe PQsetSingleRowMode(handle)
        var failure: (any Error)?
        while let result = unsafe PQgetResult(handle) {
            defer { unsafe PQclear(result) }
            let status = unsafe PQresultStatus(result)
            switch status {
            case PGRES_SINGLE_TUPLE, PGRES_TUPLES_OK:
                guard failure == nil else { continue }
                if status == PGRES_TUPLES_OK { onColumns(unsafe columns(of: result)) }
                do {
                    for row in 0..<(unsafe PQntuples(result)) { try onRow(unsafe values(of: result, row: row)) }
                } catch {
                    failure = error
                    interrupt.cancelStatement()
                }
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                break
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                // A copy cannot be drained like a result; the connection is given up rather than left in between.
                shutdown(unsafe PQsocket(handle), Int32(SHUT_RDWR))
                throw StatementFailure.connectionLost("COPY cannot be run as a query")
            default:
                if failure == nil { failure = unsafe self.failure(of: result) }
            }
        }
        if let failure { throw failure }
        if isLost { throw StatementFailure.connectionLost(unsafe text(PQerrorMessage(handle)) ?? "") }
    }

    private func send(_ sql: String, _ parameters: [String?]?) throws(StatementFailure) {
        let sent: Int32
        if let parameters {
            sent = unsafe withCStrings(parameters) { values in
                unsafe PQsendQueryParams(handle, sql, Int32(parameters.count), nil, values, nil, nil, 0)
            }
        } else {
            sent = unsafe PQsendQuery(handle, sql)
        }
        guard sent == 1 else { throw .connectionLost(unsafe text(PQerrorMessage(handle)) ?? "") }
    }

    private func columns(of result: OpaquePointer) -> [String] {
        (0..<(unsafe PQnfields(result))).map { unsafe text(PQfname(result, $0)) ?? "" }
    }

    private func values(of result: OpaquePointer, row: Int32) -> [String?] {
        (0..<(unsafe PQnfields(result))).map { column in
            guard unsafe PQgetisnull(result, row, column) == 0, let start = unsafe PQgetvalue(result, row, column)
            else {
                return nil
            }
            let length = Int(unsafe PQgetlength(result, row, column))
            return unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
        }
    }

    /// The server's error; one without an SQLSTATE is libpq's own, of a connection that is gone.
    private func failure(of result: OpaquePointer) -> StatementFailure {
        func field(_ code: Character) -> String? {
            unsafe text(PQresultErrorField(result, Int32(code.asciiValue ?? 0)))
        }
        guard let sqlstate = field("C") else {
            return .connectionLost(unsafe text(PQresultErrorMessage(result)) ?? "")
        }
        return .server(
            ServerError(
                sqlstate: sqlstate, message: field("M") ?? "no message", hint: field("H")))
    }
}

/// Ends what a connection is doing, from another thread.
@safe final class ConnectionInterrupt: Sendable {
    private let state: Mutex<State>
    /// The address of what libpq sends cancel requests with, on any thread: held while one is under way, so that it cannot
    /// reach the statement after the one it was meant for.
    private let cancelHandle: Mutex<Int>
    private let queue = DispatchQueue(label: "apex-backup.postgres-cancel")

    private struct State {
        var socket: Int32
        var statement = 0
        var isRunning = false
        var isCancelled = false
    }

    init(cancelHandle: OpaquePointer?, socket: Int32) {
        self.cancelHandle = Mutex(Int(bitPattern: cancelHandle))
        state = Mutex(State(socket: socket))
    }

    deinit { cancelHandle.withLock { unsafe PQfreeCancel(OpaquePointer(bitPattern: $0)) } }

    /// Announces a statement and returns its number.
    func begin() -> Int {
        state.withLock {
            $0.statement += 1
            $0.isRunning = false
            $0.isCancelled = false
            return $0.statement
        }
    }

    /// Sends the announced statement, unless it was cancelled before it was sent.
    func sending(_ send: () throws -> Void) throws {
        try state.withLock {
            if $0.isCancelled { throw CancellationError() }
            $0.isRunning = true
        }
        try send()
    }

    /// Says that the statement is over, and waits for a cancel request that is still on its way to it.
    func end(connectionIsLost: Bool) {
        state.withLock { $0.isRunning = false }
        if !connectionIsLost { cancelHandle.withLock { _ in } }
    }

    /// Says that the connection is about to be closed.
    func retire() {
        state.withLock {
            $0.socket = -1
            $0.isRunning = false
        }
    }

    /// Cancels `statement` if it is still the current one; a server that does not react within ten seconds is left.
    func cancel(_ statement: Int) {
        state.withLock { if $0.statement == statement { $0.isCancelled = true } }
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(10)) {
            self.state.withLock { if $0.statement == statement, $0.isRunning { shutdown($0.socket, Int32(SHUT_RDWR)) } }
        }
        queue.async { self.repeatCancel(statement) }
    }

    /// A cancel request may overtake its statement, so it is repeated until the statement is over.
    private func repeatCancel(_ statement: Int) {
        let isCurrent = cancelHandle.withLock { handle in
            guard state.withLock({ $0.statement == statement && $0.isRunning }) else { return false }
            Self.cancel(by: handle)
            return true
        }
        guard isCurrent else { return }
        queue.asyncAfter(deadline: .now() + .milliseconds(250)) { self.repeatCancel(statement) }
    }

    /// Asks the server to cancel what the connection runs now.
    func cancelStatement() { cancelHandle.withLock { Self.cancel(by: $0) } }

    private static func cancel(by handle: Int) {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            _ = unsafe PQcancel(OpaquePointer(bitPattern: handle), buffer.baseAddress, 256)
        }
    }
}

private func text(_ pointer: UnsafePointer<CChar>?) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    return unsafe String(cString: pointer)
}

/// Lends `strings` as a C array that ends with a null pointer.
private func withCStrings<Result>(
    _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    var copies: [UnsafePointer<CChar>?] = unsafe strings.map { string in
        guard let string, let copy = unsafe strdup(string) else { return nil }
        return unsafe UnsafePointer(copy)
    }
    unsafe copies.append(nil)
    defer { for index in unsafe copies.indices { unsafe free(UnsafeMutablePointer(mutating: copies[index])) } }
    return unsafe copies.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("an array that ends with nil is not empty") }
        return unsafe body(base)
    }
}

/// Runs `job`, which a task executor was given, on the calling thread.
///
/// Swift offers this by unowned references only: the executor is alive for as long as this call, because it is passed.
package func runSynchronously(_ job: UnownedJob, on executor: some TaskExecutor) {
    unsafe job.runSynchronously(on: executor.asUnownedTaskExecutor())
}

/// Blocks its thread until a descriptor has something to read or is at its end: for that of a process, until it ended.
func waitUntilReadable(_ descriptor: Int32) {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while unsafe poll(&wait, 1, -1) < 0, errno == EINTR {}
}
