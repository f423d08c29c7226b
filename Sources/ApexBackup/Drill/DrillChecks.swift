import BackupModel
import PostgresAccess

/// Asks the checks of a policy of a restored server, one after another.
struct DrillChecks: Sendable {
    let server: RestoredServer
    let secrets: SecretSource

    /// Asks one check.
    ///
    /// What goes wrong while asking is an answer too, so that no check hides the others.
    func ask(_ check: DrillCheck) async throws -> CheckResult {
        let clocks = server.environment.clocks
        let (answer, duration) = try await clocks.timed { try await answerInTime(check) }
        return CheckResult(
            check, answer.outcome, got: answer.got, evidence: answer.evidence, duration: duration)
    }

    private func answerInTime(_ check: DrillCheck) async throws -> CheckAnswer {
        let clocks = server.environment.clocks
        return try await withThrowingTaskGroup(of: CheckAnswer.self) { group in
            group.addTask { try await answer(check) }
            group.addTask {
                try await clocks.sleep(check.timeout)
                return CheckAnswer(.failed("there was no answer within \(DurationText.format(check.timeout))"))
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }

    private func answer(_ check: DrillCheck) async throws -> CheckAnswer {
        do {
            switch check.question {
            case .rows(let tables): return try await rows(tables, check)
            case .sql(let statement, let expectation): return try await sql(statement, expectation, check)
            case .structure: return try await structure(check)
            case .roles: return try await roles()
            case .extensions: return try await extensions(check)
            case .sequences: return try await sequences(check)
            case .amcheck(let heapAllIndexed): return try await amcheck(heapAllIndexed, check)
            case .http(let url, _): return try await http(url, check)
            case .command(let command, _): return try await self.command(command, check)
            case .replay: return try recovery().replayAnswer
            case .boundary: return try recovery().boundaryAnswer
            }
        } catch let error as CheckImpossible {
            return CheckAnswer(error.outcome)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // What fails because the drill is asked to stop says nothing of the restored data.
            try Task.checkCancellation()
            let known = RunLog.describe(error)
            let text = known.messageWithReason
            switch known.code {
            case .interrupted: throw known
            // A secret or a program that is not there is the policy's fault or the host's.
            case .settings, .usage, .toolMissing: return CheckAnswer(.notVerified(text))
            default: return CheckAnswer(.failed(text))
            }
        }
    }

    private func recovery() throws(CheckImpossible) -> DrillRecovery {
        guard let recovery = server.recovery else { throw CheckImpossible("no WAL was replayed") }
        return recovery
    }

    private func rows(_ wanted: [String]?, _ check: DrillCheck) async throws -> CheckAnswer {
        var differences: [String] = []
        var tables = 0
        var rows: Int64 = 0
        var missing = Set(wanted ?? [])
        for database in try server.records(for: check) {
            let lines = try server.tableLines(of: database).filter { line in
                guard let table = line.table else { return false }
                guard let wanted else { return true }
                let names = ["\(line.schema).\(table)", table]
                guard let name = names.first(where: wanted.contains) else { return false }
                missing.remove(name)
                return true
            }
            differences += try await server.withSession(database.name) { session in
                try await RowComparison(session: session).differences(from: lines)
            }
            tables += lines.count
            rows += lines.reduce(0) { $0 + ($1.rows ?? 0) }
        }
        differences += missing.sorted().map { "the backup holds no table \($0)" }
        return CheckAnswer(
            differences: differences, evidence: "count(*) of \(tables) tables against \(rows) captured rows")
    }

    private func sql(
        _ statement: String, _ expectation: Expectation, _ check: DrillCheck
    ) async throws -> CheckAnswer {
        let database = try server.database(for: check)
        return try await server.withSession(database) { session in
            try await session.execute("SET default_transaction_read_only = on")
            do {
                let rows = try await session.query(statement).rows
                let isOneValue = rows.count == 1 && rows[0].count == 1
                var outcome = expectation.holds(forRows: rows)
                if case .matches(let pattern) = expectation, isOneValue, let text = rows[0][0] {
                    outcome = expectation.meets(try await session.matches(text, pattern), text)
                }
                return CheckAnswer(
                    outcome, got: isOneValue ? CheckValue(answer: rows[0][0]) : nil,
                    evidence: "asked of database '\(database)'")
            } catch let error as BackupError {
                // A statement that cannot be parsed is the policy's fault and says nothing of the restored data.
                if await session.lastServerError?.sqlstate == "42601" {
                    throw CheckImpossible("the statement has a syntax error: \(error.reason ?? error.message)")
                }
                throw error
            }
        }
    }

    private func structure(_ check: DrillCheck) async throws -> CheckAnswer {
        var differences: [String] = []
        let databases = try server.records(for: check)
        for database in databases {
            let got = try await server.withSession(database.name) { try await $0.schemaFingerprint() }
            if got != database.schemaFingerprint {
                differences.append("'\(database.name)': fingerprint \(got), captured \(database.schemaFingerprint)")
            }
        }
        return CheckAnswer(
            differences: differences,
            evidence: databases.map { "'\($0.name)' \($0.schemaFingerprint)" }.joined(separator: ", "))
    }

    private func roles() async throws -> CheckAnswer {
        guard let artefact = server.artefacts.first(where: { $0.role == .globals }) else {
            throw CheckImpossible("the backup was taken without roles")
        }
        let expected = try StoredArtefact(artefact, of: server.manifest.id, in: server.repository).globals().roles
        let present = try await server.withSession(server.databases.first ?? "postgres") { session in
            Set(try await session.query("SELECT rolname FROM pg_roles").rows.compactMap { $0[0] })
        }
        let missing = expected.filter { !present.contains($0) }.map { "the role '\($0)' is missing" }
        return CheckAnswer(differences: missing, evidence: "\(expected.count) roles in the backup")
    }

    private func extensions(_ check: DrillCheck) async throws -> CheckAnswer {
        var differences: [String] = []
        var count = 0
        for database in try server.records(for: check) {
            let present = try await server.withSession(database.name) { try await $0.installedExtensions() }
            count += database.extensions.count
            for wanted in database.extensions {
                let found = present.first { $0.name == wanted.name }
                if found?.version != wanted.version {
                    differences.append(
                        "'\(database.name)': \(wanted.name) \(wanted.version) is "
                            + (found.map { "version \($0.version)" } ?? "missing"))
                }
            }
        }
        return CheckAnswer(differences: differences, evidence: "\(count) extensions in the backup")
    }

    /// A sequence is not part of a snapshot: the dump reads it later, so that it may be ahead, and never behind.
    private func sequences(_ check: DrillCheck) async throws -> CheckAnswer {
        var differences: [String] = []
        var count = 0
        for database in try server.records(for: check) {
            let captured = try server.tableLines(of: database).filter { $0.sequence != nil }
            let present = try await server.withSession(database.name) { try await $0.sequenceStates() }
            count += captured.count
            for line in captured {
                guard let name = line.sequence else { continue }
                guard let state = present.first(where: { $0.schema == line.schema && $0.name == name }) else {
                    differences.append("'\(database.name)': the sequence \(line.schema).\(name) is missing")
                    continue
                }
                guard let wanted = line.lastValue else { continue }
                let isBehind = state.lastValue.map { state.increment > 0 ? $0 < wanted : $0 > wanted } ?? true
                if isBehind {
                    differences.append(
                        "'\(database.name)': \(line.schema).\(name) is at \(state.lastValue.map(String.init) ?? "its start"), "
                            + "captured at \(wanted)")
                }
            }
        }
        return CheckAnswer(differences: differences, evidence: "\(count) sequences in the backup")
    }

    private func amcheck(_ heapAllIndexed: Bool, _ check: DrillCheck) async throws -> CheckAnswer {
        var problems: [String] = []
        var checked = 0
        for database in try server.databases(for: check) {
            try await server.withSession(database) { session in
                let available = try await session.query(
                    "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'")
                guard !available.rows.isEmpty else {
                    throw CheckImpossible("the server's installation has no extension amcheck")
                }
                try await session.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
                let indexes = try await session.query(
                    """
                    SELECT c.oid, c.oid::regclass::text FROM pg_class c JOIN pg_index i ON indexrelid = c.oid
                    JOIN pg_am a ON a.oid = c.relam
                    WHERE amname = 'btree' AND c.relpersistence = 'p' AND c.relkind = 'i' AND indisvalid ORDER BY 2
                    """
                ).rows
                for index in indexes {
                    do {
                        _ = try await session.query(
                            "SELECT bt_index_check($1::oid::regclass, $2::boolean)",
                            [index[0], heapAllIndexed ? "true" : "false"])
                        checked += 1
                    } catch let error as BackupError {
                        problems.append("'\(database)' \(index[1] ?? ""): \(error.reason ?? error.message)")
                    }
                }
            }
        }
        return CheckAnswer(
            differences: problems,
            evidence: "bt_index_check of \(checked) indexes\(heapAllIndexed ? ", every row looked up" : "")")
    }

    private func http(_ url: String, _ check: DrillCheck) async throws -> CheckAnswer {
        let probe = HTTPProbe(url: url, timeout: check.timeout)
        let got = try await probe.status()
        return CheckAnswer(
            check.question.expectation.holds(for: String(got)), got: .number(String(got)),
            evidence: "GET \(probe.place)")
    }

    private func command(_ command: DrillCommand, _ check: DrillCheck) async throws -> CheckAnswer {
        let database = try server.database(for: check)
        let url = server.url(database: database)
        var environment = ChildCommand.environment(inheritedFrom: server.environment.variables)
        environment.merge(try command.environment(targetURL: url, secrets: secrets)) { _, ours in ours }
        guard let program = command.arguments.first else { throw CheckImpossible("the command is empty") }
        let child = ChildCommand(
            try resolve(program), arguments: Array(command.arguments.dropFirst()), environment: environment,
            secrets: server.connection.secrets + command.secrets(among: environment))
        let outcome = try await run(child) { _ in }.outcome
        let got: String =
            switch outcome.status {
            case .exited(let status): "\(status)"
            case .signalled(let number): "signal \(number)"
            }
        return CheckAnswer(
            check.question.expectation.holds(for: got), got: CheckValue(answer: got),
            evidence: outcome.standardErrorTail.isEmpty ? child.name : String(outcome.standardErrorTail.suffix(500)))
    }

    /// A program's name is looked up in PATH, as a shell would; no shell is involved.
    private func resolve(_ program: String) throws -> String {
        if program.contains("/") { return program }
        for directory in (server.environment.variables["PATH"] ?? "").split(separator: ":") {
            let path = "\(directory)/\(program)"
            if isExecutable(path) { return path }
        }
        throw CheckImpossible("there is no program '\(program)' in PATH")
    }
}

extension DrillCommand {
    /// The values in `environment` of the variables that are secrets, whole and line by line: a program may print one.
    fileprivate func secrets(among environment: [String: String]) -> [String] {
        self.environment.keys.flatMap { name -> [String] in
            guard case .secret? = self.environment[name], let value = environment[name] else { return [] }
            return [value] + value.split(whereSeparator: \.isNewline).map(String.init)
        }
    }
}

extension PostgresSession {
    /// Whether the regular expression matches a part of `text`: on the server, which can be told to stop.
    fileprivate func matches(_ text: String, _ pattern: String) async throws -> Bool {
        do {
            let sql = "SELECT $1::pg_catalog.text OPERATOR(pg_catalog.~) $2::pg_catalog.text"
            return try await query(sql, [text, pattern]).firstValue == "t"
        } catch let error as BackupError where error.sqlstate?.hasPrefix("22") == true {
            // What the server cannot make a pattern of is the policy's fault and says nothing of the restored data.
            throw CheckImpossible("the server cannot match '\(pattern)': \(error.reason ?? error.message)")
        }
    }

    /// Refuses gating checks of which the server cannot match the pattern, before hours are spent on a restore.
    func requirePatterns(of checks: [DrillCheck]) async throws {
        for check in checks where check.isGating {
            guard case .sql(_, .matches(let pattern)) = check.question else { continue }
            do {
                _ = try await matches("", pattern)
            } catch let impossible as CheckImpossible {
                throw BackupError(
                    .settings, "The check '\(check.id)' cannot be asked.", reason: impossible.outcome.reason,
                    remedy: "Mend it in the drill's policy; PostgreSQL's manual has the syntax.",
                    unchanged: "Nothing was restored.")
            }
        }
    }
}
