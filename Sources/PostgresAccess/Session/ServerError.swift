package import BackupModel

/// An error as the server reports it.
package struct ServerError: Sendable, Hashable {
    package var sqlstate: String
    /// The primary message.
    package var message: String
    package var hint: String?
    /// The function of the server's source code that reports it: the same in every language.
    package var function: String?

    package init(sqlstate: String, message: String, hint: String? = nil, function: String? = nil) {
        self.sqlstate = sqlstate
        self.message = message
        self.hint = hint
        self.function = function
    }

    /// The SQLSTATE of the last error in a text that libpq wrote in its verbose form, `FATAL:  28P01: …`.
    static func lastSQLState(inVerboseText text: String) -> String? {
        text.matches(of: /:[ ]{2}([0-9A-Z]{5}):[ ]/).last.map { String($0.1) }
    }

    fileprivate static let conflictRemedy = """
        Replay of changes from the primary wins over long statements on a standby. Raise \
        max_standby_streaming_delay (or max_standby_archive_delay) or turn hot_standby_feedback on there, or take the \
        backup from the primary.
        """

    func backupError(from settings: ConnectionSettings, isStandby: Bool) -> BackupError {
        let reason = settings.redact("\(sqlstate): \(message)")
        let server = settings.redacted
        let isConflict = isStandby && (sqlstate == "40001" || sqlstate == "57014")
        switch sqlstate {
        case "42501":
            return BackupError(
                .permissionDenied, "The server \(server) does not allow this to the role that is connected.",
                reason: reason, remedy: "Grant the role what it lacks, or connect as a role that has it.")
        case "57P01", "57P02", "57P03", "08000", "08003", "08006":
            return BackupError(
                .serverConnectionLost, "The server \(server) ended the session.", reason: reason,
                remedy: "See the server's log for why it ended sessions, and run the command again.")
        case "55P03":
            return BackupError(
                .queryFailed, "A statement on the server \(server) had to wait for a lock for too long.",
                reason: reason,
                remedy: "See pg_locks and pg_stat_activity for who holds it, and run the command again.")
        case _ where isConflict:
            return BackupError(
                .queryFailed, "The standby \(server) cancelled a statement.", reason: reason,
                remedy: Self.conflictRemedy)
        default:
            return BackupError(
                .queryFailed, "A statement failed on the server \(server).", reason: reason,
                remedy: hint.map(settings.redact) ?? "See the server's log for the statement and its context.")
        }
    }
}

extension BackupError {
    /// The SQLSTATE of the server's error that this error reports.
    package var sqlstate: String? {
        guard let reason, let match = reason.firstMatch(of: /^([0-9A-Z]{5}):/) else { return nil }
        return String(match.1)
    }
}

extension ConnectionSettings {
    /// A standby ends a session that holds a conflicting snapshot while it is idle, and does not say so any more.
    func lostError(_ message: String, isStandby: Bool = false) -> BackupError {
        BackupError(
            .serverConnectionLost, "The connection to the server \(redacted) was lost.",
            reason: redact(onOneLine(message)),
            remedy: "Check that the server runs and that nothing on the network ends long connections, then run again."
                + (isStandby ? " \(ServerError.conflictRemedy)" : ""))
    }

    /// A server that takes connections and hangs looks like this, and so does a network that drops what it should carry.
    func silenceError(_ message: String) -> BackupError {
        BackupError(
            .serverConnectionLost, "The server \(redacted) does not answer any more.", reason: message,
            remedy: "Look whether its host, its disks or the server itself hang, and whether something on the network "
                + "holds back what is sent, then run again.")
    }

    /// Says why a connection could not be made: by the server's SQLSTATE if it gave one, else by how far it got.
    func connectError(_ failure: ConnectFailure, timeout: Duration) -> BackupError {
        let words = redact(readable(failure.message))
        guard let sqlstate = failure.sqlstate else {
            if failure.needsPassword {
                return BackupError(
                    .authenticationFailed, "The server \(redacted) asks for a password and none was given.",
                    reason: words,
                    remedy:
                        "Give one in a password file (PGPASSFILE) or in PGPASSWORD; in a URL on a command line, others can see it."
                )
            }
            return BackupError(
                .serverUnreachable, "The server \(redacted) could not be reached.",
                reason: failure.silentHost != nil ? "no answer within \(DurationText.format(timeout))" : words,
                remedy: "Check host and port, that the server runs and listens there, and sslmode if encryption failed."
            )
        }
        let reason = "\(sqlstate): \(words)"
        switch sqlstate {
        case "28P01", "28000":
            return BackupError(
                .authenticationFailed, "The server \(redacted) did not accept the role or its password.",
                reason: reason,
                remedy: "Check user and password, and that the server's pg_hba.conf allows this role from this host.")
        case "42501":
            return BackupError(
                .permissionDenied, "The role may not connect to \(redacted).", reason: reason,
                remedy: "Grant the role CONNECT on the database, or connect as another role.")
        case "3D000":
            return BackupError(
                .serverRefused, "There is no such database on the server: \(redacted).", reason: reason,
                remedy: "Check the name of the database; names are case-sensitive.")
        default:
            return BackupError(
                .serverRefused, "The server \(redacted) refused the connection.", reason: reason,
                remedy: "See the server's log; it may be starting, shutting down, or out of connections.")
        }
    }

    /// libpq's verbose text on one line, without the places in the server's source code.
    private func readable(_ message: String) -> String {
        let lines = message.split(separator: "\n").filter { !$0.hasPrefix("LOCATION:") }
        return onOneLine(lines.joined(separator: "\n").replacing(/:[ ]{2}[0-9A-Z]{5}:[ ]/, with: ": "))
    }
}

private func onOneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}
