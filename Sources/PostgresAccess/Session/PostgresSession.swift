import BackupModel

extension PostgresSession {
    /// For how long a server may send nothing while it owes the answer to a statement that is short.
    package static let longestSilence = Duration.seconds(60)

    /// Opens a session; `timeout` is for each address that the settings lead to.
    ///
    /// No time-out of the role, the database or the server ends its statements or the session, except through a pooler. A
    /// server that sends nothing for `longestSilence` while it owes an answer is taken for lost: for statements that are
    /// short.
    package static func connect(
        _ settings: ConnectionSettings, applicationName: String, timeout: Duration, longestSilence: Duration? = nil
    ) async throws -> PostgresSession {
        let session = PostgresSession(settings: settings)
        try await session.open(applicationName: applicationName, timeout: timeout, longestSilence: longestSilence)
        do {
            try await session.turnTimeoutsOff()
            return session
        } catch {
            await session.close()
            throw error
        }
    }

    /// Runs `body` with a session as ``connect(_:applicationName:timeout:longestSilence:)`` opens it, and closes it
    /// whatever happens.
    package static func with<Value: Sendable>(
        _ settings: ConnectionSettings, applicationName: String, timeout: Duration, longestSilence: Duration? = nil,
        _ body: (PostgresSession) async throws -> Value
    ) async throws -> Value {
        let session = try await connect(
            settings, applicationName: applicationName, timeout: timeout, longestSilence: longestSilence)
        return try await session.closing { try await body(session) }
    }

    /// Closes the session after `body`, whatever happens in it.
    package nonisolated func closing<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        await close()
        return try result.get()
    }

    /// A time-out would end a long statement, or the transaction of a snapshot that is held for a long dump.
    private func turnTimeoutsOff() async throws {
        // A pooler would keep the settings for other clients of the same server process.
        guard try await isDirect() else { return }
        var names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
        if serverVersionNumber >= 140_000 { names.append("idle_session_timeout") }
        if serverVersionNumber >= 170_000 { names.append("transaction_timeout") }
        try await execute(names.map { "SET \($0) = 0" }.joined(separator: "; "))
    }

    /// Whether the server process that answers is the one that was announced: a pooler announces one of its own making.
    func isDirect() async throws -> Bool {
        try await query("SELECT pg_catalog.pg_backend_pid()").firstValue == String(announcedProcessID)
    }

    func open(
        applicationName: String, timeout: Duration, longestSilence: Duration?, replication: Bool = false
    ) throws {
        try requireLibPQ()
        var candidates = settings
        while connection == nil {
            try Task.checkCancellation()
            do throws(ConnectFailure) {
                connection = try PostgresConnection.open(
                    candidates.sessionKeywords(applicationName: applicationName, replication: replication),
                    timeout: timeout, longestSilence: longestSilence, isCancelled: { Task.isCancelled })
            } catch {
                try Task.checkCancellation()
                // libpq goes on to the next host when one refuses, but not when one accepts and then says nothing.
                guard let host = error.silentHost, let others = candidates.afterHost(host) else {
                    throw settings.connectError(error, timeout: timeout)
                }
                candidates = others
            }
        }
    }

    /// Ends the session; what comes after fails as if the connection were lost.
    package func close() { connection = nil }

    /// Runs one statement and returns its rows; `parameters` stand for `$1`, `$2` and so on.
    package func query(_ sql: String, _ parameters: [String?] = []) async throws -> QueryResult {
        var result = QueryResult()
        try await perform(sql, parameters, onColumns: { result.columns = $0 }, onRow: { result.rows.append($0) })
        return result
    }

    /// Runs one statement, or several with semicolons between them, for their effect.
    package func execute(_ sql: String) async throws {
        try await perform(sql, nil, onColumns: { _ in }, onRow: { _ in })
    }

    /// Runs one statement and hands over its rows one by one, so that memory does not grow with their number.
    ///
    /// When `body` throws, the statement is cancelled on the server and the session stays usable.
    package func forEachRow(
        _ sql: String, _ parameters: [String?] = [], _ body: @Sendable ([String?]) throws -> Void
    ) async throws {
        try await perform(sql, parameters, onColumns: { _ in }, onRow: body)
    }

    /// The server's version as a number, 150013 for 15.13.
    package var serverVersionNumber: Int { connection?.serverVersionNumber ?? 0 }

    /// The process on the server as it was announced when the session began.
    package var announcedProcessID: Int32 { connection?.backendProcessID ?? 0 }

    /// A setting that the server reports by itself, such as `server_encoding` or `in_hot_standby`.
    package func parameter(_ name: String) -> String? { connection?.parameter(name) }

    private func perform(
        _ sql: String, _ parameters: [String?]?, onColumns: ([String]) -> Void, onRow: ([String?]) throws -> Void
    ) async throws {
        guard !sql.utf8.contains(0), !(parameters ?? []).contains(where: { $0?.utf8.contains(0) ?? false }) else {
            throw BackupError(
                .usage, "A statement for \(settings.redacted) holds a zero byte, which PostgreSQL cannot take.",
                remedy: "Remove the zero byte from the name or value.", unchanged: "Nothing was sent to the server.")
        }
        try await withConnection { connection in
            try connection.run(sql, parameters: parameters, onColumns: onColumns, onRow: onRow)
        }
    }

    /// Runs one statement or command by `body`, on the session's thread; cancelling the task cancels it on the server.
    func withConnection<Value>(_ body: (PostgresConnection) throws -> Value) async throws -> Value {
        try Task.checkCancellation()
        guard let connection else { throw settings.lostError("the session is closed") }
        let interrupt = connection.interrupt
        let statement = interrupt.begin()
        defer {
            // Whoever does not wait for the server's answer does not wait for its word on the cancelling either.
            if connection.longestSilence != nil, Task.isCancelled { connection.giveUp() }
            interrupt.end(connectionIsLost: connection.isLost)
        }
        return try await withTaskCancellationHandler {
            do {
                return try body(connection)
            } catch let failure as StatementFailure {
                try Task.checkCancellation()
                throw report(failure)
            }
        } onCancel: {
            interrupt.cancel(statement)
        }
    }

    private var isStandby: Bool { parameter("in_hot_standby") == "on" }

    private func report(_ failure: StatementFailure) -> BackupError {
        switch failure {
        case .connectionLost(let message):
            return settings.lostError(message, isStandby: isStandby)
        case .silent(let message):
            return settings.silenceError(message)
        case .server(let error):
            lastServerError = error
            return error.backupError(from: settings, isStandby: isStandby)
        }
    }
}

/// The rows that a statement returned.
package struct QueryResult: Sendable, Hashable {
    package internal(set) var columns: [String] = []
    package internal(set) var rows: [[String?]] = []

    /// The value in `row` of the column named `column`; `nil` is SQL's null, or a column that is not there.
    package func value(_ row: Int, _ column: String) -> String? {
        columns.firstIndex(of: column).flatMap { value(row, $0) }
    }

    /// The value in `row` of the column at `column`; `nil` is SQL's null, or a place that is not there.
    package func value(_ row: Int, _ column: Int) -> String? {
        guard rows.indices.contains(row), rows[row].indices.contains(column) else { return nil }
        return rows[row][column]
    }

    /// The first value of the first row.
    package var firstValue: String? { rows.first?.first ?? nil }
}
