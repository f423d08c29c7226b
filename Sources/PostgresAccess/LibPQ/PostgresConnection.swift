import BackupModel
import CLibPQ
import Glibc

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
    /// The server has sent nothing for as long as it may.
    case silent(String)
}

/// A libpq connection, used by its session's thread alone; only ``ConnectionInterrupt`` reaches it from elsewhere.
@safe final class PostgresConnection {
    let handle: OpaquePointer
    let interrupt: ConnectionInterrupt
    /// What libpq calls with notices, held for as long as it may.
    var noticeBox: NoticeBox?
    /// For how long the server may send nothing while something of it is due; `nil` for as long as it likes.
    let longestSilence: Duration?
    /// Whether it is of no more use, although libpq does not know.
    private var isGivenUp = false

    private init(handle: OpaquePointer, longestSilence: Duration?) {
        unsafe self.handle = unsafe handle
        self.longestSilence = longestSilence
        interrupt = unsafe ConnectionInterrupt(cancelHandle: PQgetCancel(handle), socket: PQsocket(handle))
    }

    deinit {
        interrupt.retire()
        unsafe PQfinish(handle)
    }

    /// Connects; `timeout` is for each address that libpq tries, as its `connect_timeout` is.
    static func open(
        _ keywords: [(name: String, value: String)], timeout: Duration, longestSilence: Duration? = nil,
        isCancelled: () -> Bool
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
        return unsafe PostgresConnection(handle: handle, longestSilence: longestSilence)
    }

    private static func waitUntilConnected(
        _ handle: OpaquePointer, timeout: Duration, isCancelled: () -> Bool
    ) throws(ConnectFailure) {
        var address = unsafe attemptedAddress(handle)
        var wait = AnswerTime(longest: timeout)
        var hasTimedOut = false
        var state = unsafe PQstatus(handle) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        while state != PGRES_POLLING_OK {
            if state == PGRES_POLLING_FAILED { throw unsafe failure(of: handle, timedOut: hasTimedOut) }
            if isCancelled() { throw ConnectFailure(message: "cancelled") }
            let events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT
            var socket = unsafe pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0)
            let asked = ContinuousClock.now
            if unsafe poll(&socket, 1, ServerSilence.pause) > 0 { state = unsafe PQconnectPoll(handle) }
            let isOver = wait.isOver(after: ContinuousClock.now - asked)
            let current = unsafe attemptedAddress(handle)
            if current != address {
                address = current
                wait = AnswerTime(longest: timeout)
            } else if isOver, state != PGRES_POLLING_OK {
                if hasTimedOut { throw unsafe failure(of: handle, timedOut: true) }
                // The socket now fails, so that libpq goes on to the next address if there is one.
                hasTimedOut = true
                wait = AnswerTime(longest: .seconds(1))
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
    var isLost: Bool { unsafe isGivenUp || PQstatus(handle) == CONNECTION_BAD }

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
        while let result = try unsafe nextResult() {
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

    /// What the server answers next, as `PQgetResult` returns it, which waits for ever.
    func nextResult() throws(StatementFailure) -> OpaquePointer? {
        var silence = ServerSilence(longest: longestSilence)
        while longestSilence != nil, !isLost, unsafe PQisBusy(handle) == 1 {
            var wait = pollfd(fd: unsafe PQsocket(handle), events: Int16(POLLIN), revents: 0)
            let hasCome = unsafe poll(&wait, 1, ServerSilence.pause) > 0
            // What came before the connection broke is what the server has said of it. Also if nothing came now: the rest
            // of a record of TLS that was taken in already is not seen from outside.
            if unsafe PQconsumeInput(handle) != 1 { break }
            if silence.isTooLong(hasCome: hasCome) { throw giveUp(after: silence) }
        }
        return unsafe PQgetResult(handle)
    }

    /// Says that the connection is of no more use: nobody waits for what is on its way to the server.
    func giveUp() { isGivenUp = true }

    func giveUp(after silence: ServerSilence) -> StatementFailure {
        giveUp()
        return .silent("the server has sent nothing for \(silence.text)")
    }

    func send(_ sql: String, _ parameters: [String?]?) throws(StatementFailure) {
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

    func values(of result: OpaquePointer, row: Int32) -> [String?] {
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
    func failure(of result: OpaquePointer) -> StatementFailure {
        guard let sqlstate = unsafe errorField(result, "C") else {
            return .connectionLost(unsafe text(PQresultErrorMessage(result)) ?? "")
        }
        return .server(
            ServerError(
                sqlstate: sqlstate, message: unsafe errorField(result, "M") ?? "no message",
                hint: unsafe errorField(result, "H"), function: unsafe errorField(result, "R")))
    }
}

/// A field of the error or notice that `result` carries, by PostgreSQL's letter for it ("Error and Notice Message Fields").
func errorField(_ result: OpaquePointer, _ letter: Character) -> String? {
    unsafe text(PQresultErrorField(result, Int32(letter.asciiValue ?? 0)))
}

/// Adds up for how long a server has sent nothing.
///
/// What this side takes for itself is no silence of the server: pauses count in which it could have sent something.
struct ServerSilence {
    /// How long one pause is, in milliseconds.
    static let pause: Int32 = 100

    private let longest: Duration?
    private var pauses = 0

    /// A server that may be silent for `longest`; `nil` for ever.
    init(longest: Duration?) { self.longest = longest }

    var text: String { DurationText.format(longest ?? .zero) }

    /// Counts a pause, at the end of which something has come or has not.
    mutating func isTooLong(hasCome: Bool) -> Bool {
        pauses = hasCome ? 0 : pauses + 1
        return longest.map { .milliseconds(Int64(Self.pause)) * pauses >= $0 } ?? false
    }
}

/// Adds up the time that an address was given to answer while a session is opened.
///
/// Of one look no more counts than twice the pause that it may take: the rest is time in which this host stood still.
struct AnswerTime {
    private let longest: Duration
    private var given = Duration.zero

    init(longest: Duration) { self.longest = longest }

    /// Counts a look that took as long as that.
    mutating func isOver(after look: Duration) -> Bool {
        given += min(look, .milliseconds(Int64(ServerSilence.pause)) * 2)
        return given >= longest
    }
}
