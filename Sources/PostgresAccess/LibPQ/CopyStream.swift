import BackupModel
import CLibPQ
import Glibc

/// What a command that copies has answered before, or after, the copied bytes: the rows of each result, as text.
typealias CommandRows = [[[String?]]]

/// A warning or notice that came with a command's answer.
package struct ServerNotice: Sendable, Hashable {
    package var sqlstate: String
    package var message: String
    /// The function of the server's source code that reports it: the same in every language.
    package var function: String
}

/// A command in which the server, the client, or both send bytes: `COPY`, and those of the replication protocol
/// (PostgreSQL documentation, "Streaming Replication Protocol").
extension PostgresConnection {
    /// Sends `command` and reads what comes before its copied bytes.
    ///
    /// - Throws: ``StatementFailure``; also when the command ends without copying.
    func beginCopy(_ command: String) throws -> CommandRows {
        try interrupt.sending { try send(command, nil) }
        var before: CommandRows = []
        while let result = try unsafe nextResult() {
            defer { unsafe PQclear(result) }
            switch unsafe PQresultStatus(result) {
            case PGRES_TUPLES_OK: before.append(unsafe rows(of: result))
            case PGRES_COPY_OUT, PGRES_COPY_BOTH: return before
            case PGRES_COMMAND_OK: continue
            default:
                let failure = unsafe self.failure(of: result)
                drain()
                throw failure
            }
        }
        throw StatementFailure.connectionLost("'\(command.prefix { $0 != " " })' copied nothing")
    }

    /// Hands over each message of the copy until the server ends it.
    ///
    /// What `body` throws ends the command: it is cancelled on the server, and the connection is of no more use.
    func readCopy(_ body: (Span<UInt8>) throws -> Void) throws {
        while try nextMessage(waits: true, body) == .message {}
    }

    /// What reading the next message of a copy came to.
    enum CopyProgress { case message, nothingYet, ended }

    /// Hands over one message; without `waits`, only if all of it has come.
    func nextMessage(waits: Bool, _ body: (Span<UInt8>) throws -> Void) throws -> CopyProgress {
        var buffer: UnsafeMutablePointer<CChar>?
        let length = unsafe PQgetCopyData(handle, &buffer, waits ? 0 : 1)
        switch length {
        case 0: return .nothingYet
        case -1: return .ended
        case 1...:
            defer { unsafe PQfreemem(buffer) }
            guard let start = unsafe buffer else { return .nothingYet }
            let bytes = unsafe UnsafeRawBufferPointer(start: start, count: Int(length))
            do {
                try unsafe bytes.withMemoryRebound(to: UInt8.self) { bytes in try unsafe body(bytes.span) }
            } catch {
                interrupt.cancelStatement()
                throw error
            }
            return .message
        default:
            throw StatementFailure.connectionLost(unsafe text(PQerrorMessage(handle)) ?? "")
        }
    }

    /// Waits until the server has sent something, at most for `milliseconds`, and takes it in; returns whether it has.
    func awaitInput(milliseconds: Int32) throws(StatementFailure) -> Bool {
        var wait = pollfd(fd: unsafe PQsocket(handle), events: Int16(POLLIN), revents: 0)
        let hasCome = unsafe poll(&wait, 1, milliseconds) > 0
        // Also if not: the rest of a record of TLS that was taken in already is not seen from outside.
        guard unsafe PQconsumeInput(handle) == 1 else {
            throw .connectionLost(unsafe text(PQerrorMessage(handle)) ?? "")
        }
        return hasCome
    }

    /// Sends one message of a copy to the server.
    func sendCopy(_ bytes: [UInt8]) throws(StatementFailure) {
        let sent = unsafe bytes.withUnsafeBytes { bytes in
            unsafe PQputCopyData(handle, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(bytes.count))
        }
        guard sent == 1, unsafe PQflush(handle) == 0 else {
            throw .connectionLost(unsafe text(PQerrorMessage(handle)) ?? "")
        }
    }

    /// Says that this side has sent all it will send.
    func endCopy() throws(StatementFailure) {
        guard unsafe PQputCopyEnd(handle, nil) == 1, unsafe PQflush(handle) == 0 else {
            throw .connectionLost(unsafe text(PQerrorMessage(handle)) ?? "")
        }
    }

    /// Reads what comes after the copied bytes, and the error with which the command ended, if it did.
    ///
    /// - Throws: ``StatementFailure`` of a lost connection alone: what the server sent before its error counts too.
    func finishCopy() throws(StatementFailure) -> (after: CommandRows, failure: ServerError?) {
        var after: CommandRows = []
        var failure: ServerError?
        while let result = try unsafe nextResult() {
            defer { unsafe PQclear(result) }
            switch unsafe PQresultStatus(result) {
            case PGRES_TUPLES_OK: after.append(unsafe rows(of: result))
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: continue
            case PGRES_COPY_OUT, PGRES_COPY_BOTH, PGRES_COPY_IN:
                interrupt.cancelStatement()
                throw .connectionLost("a copy began where the command should have ended")
            default:
                switch unsafe self.failure(of: result) {
                case .server(let error): failure = failure ?? error
                case let lost: throw lost
                }
            }
        }
        if isLost { throw .connectionLost(unsafe text(PQerrorMessage(handle)) ?? "") }
        return (after, failure)
    }

    /// Calls `body` with each notice from now on, on the thread that reads the command's answers.
    func onNotice(_ body: @escaping (ServerNotice) -> Void) {
        let box = NoticeBox(body)
        noticeBox = box
        unsafe PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context = unsafe context, let result = unsafe result else { return }
                unsafe Unmanaged<NoticeBox>.fromOpaque(context).takeUnretainedValue().body(
                    ServerNotice(
                        sqlstate: errorField(result, "C") ?? "", message: errorField(result, "M") ?? "",
                        function: errorField(result, "R") ?? ""))
            },
            unsafe Unmanaged.passUnretained(box).toOpaque())
    }

    private func rows(of result: OpaquePointer) -> [[String?]] {
        (0..<(unsafe PQntuples(result))).map { unsafe values(of: result, row: $0) }
    }

    private func drain() {
        while let result = try? unsafe nextResult() { unsafe PQclear(result) }
    }
}

/// Keeps the closure that a connection's notices go to; the connection holds it for as long as libpq may call it.
final class NoticeBox {
    let body: (ServerNotice) -> Void

    init(_ body: @escaping (ServerNotice) -> Void) { self.body = body }
}
