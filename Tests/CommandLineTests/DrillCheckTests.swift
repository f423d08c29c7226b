import BackupModel
import FoundationEssentials
import TestSupport
import Testing

/// An application to ask for its health: `GET /503` answers 503, `/302` leads to `/200`, `/hang` never answers.
private struct Application {
    private static let script = """
        use IO::Socket::INET;
        my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die;
        open(my $file, ">", "$ARGV[0].new"); print $file $server->sockport; close($file);
        rename("$ARGV[0].new", $ARGV[0]);
        my @waiting;
        while (my $client = $server->accept) {
            my ($path) = <$client> =~ m{^GET /(\\S*)};
            while (<$client>) { last if /^\\r?$/ }
            if ($path =~ /^\\d+$/) {
                print $client "HTTP/1.1 $path Any\\r\\nLocation: /200\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n";
                close($client);
            } else { push @waiting, $client; }
        }
        """
    let address: String
    private let process: RunningCommand

    static func start(in place: Workplace) async throws -> Application {
        let file = place.path("port")
        let process = try await CommandLineTool(executable: "/usr/bin/perl").start(["-e", script, file])
        guard await eventually({ place.isThere("port") }) else { throw CancellationError() }
        let port = String(decoding: try place.directory.read("port"), as: UTF8.self)
        return Application(address: "http://127.0.0.1:\(port)", process: process)
    }
}

@Suite(.timeLimit(.minutes(10))) struct `The checks of a drill` {
    /// A workplace whose database has something for every kind of check, and a role that owns a table.
    private func withEverything(_ body: (Workplace, _ role: String) async throws -> Void) async throws {
        try await Workplace.with(globals: true) { place in
            let role = "owner of \(place.database)"
            try await place.cluster.execute(
                """
                CREATE ROLE "\(role)";
                CREATE EXTENSION citext;
                CREATE TABLE "Möbel" (id serial PRIMARY KEY, name citext);
                ALTER TABLE "Möbel" OWNER TO "\(role)";
                INSERT INTO "Möbel" (name) SELECT 'x' FROM generate_series(1, 20);
                CREATE FUNCTION same(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
                CREATE INDEX ON t (same(id));
                """, database: place.database)
            let result: Result<Void, any Error>
            do { result = .success(try await body(place, role)) } catch { result = .failure(error) }
            try await place.cluster.execute("DROP TABLE \"Möbel\"; DROP ROLE \"\(role)\"", database: place.database)
            try result.get()
        }
    }

    private func answers(_ report: JSONValue) -> [String: JSONValue] {
        let checks = report["checks"]?.elements ?? []
        return Dictionary(uniqueKeysWithValues: checks.compactMap { check in check["id"]?.text.map { ($0, check) } })
    }

    @Test func `all hold on a faithful restore, on the clock that the report shows`() async throws {
        try await withEverything { place, _ in
            let id = try await place.backUp()
            let policy = String(decoding: try place.directory.read("policy.yaml"), as: UTF8.self)
            try place.write(policy.replacing("backup: {", with: "backup: {jobs: 2, "), to: "policy.yaml")
            let application = try await Application.start(in: place)
            let psql = "\(place.cluster.programs)/psql"
            let script =
                "test \\\"$URL\\\" = \\\"x$APEX_DATABASE_URL\\\" && \(psql) -XAtc 'SELECT 1/count(*) FROM t' \\\"$APEX_DATABASE_URL\\\" && test -z \\\"$LEASE\\\""
            try place.writeDrill(checks: [
                "{id: late, type: amcheck, gating: false}", "{id: rows, type: rows, with: {tables: all}}",
                "{id: some, type: rows, with: {tables: [public.t, Möbel]}}",
                "{id: sql, type: sql, with: {sql: \"SELECT max(id) FROM t\"}, expect: {between: [50, 50]}}",
                "{id: match, type: sql, with: {sql: SELECT 'PostgreSQL 15'}, expect: {matches: '^\\w+\\M \\d+$'}}",
                "{id: structure, type: structure}", "{id: roles, type: roles}", "{id: extensions, type: extensions}",
                "{id: sequences, type: sequences}",
                "{id: amcheck, type: amcheck, gating: true, with: {heapallindexed: true}}",
                "{id: http, type: http, with: {url: \"\(application.address)/200\"}}",
                "{id: unready, type: http, with: {url: \"\(application.address)/503\"}, expect: {status: 503}}",
                "{id: command, type: command, with: {argv: [/bin/sh, -c, \"\(script)\"], env: {URL: \"x{{target.url}}\"}}}",
            ])
            let (status, report) = try await place.drill()
            let answers = answers(report)
            #expect(status == 0, "\(report["reasons"]?.elements ?? [])")
            #expect(answers.count == 13)
            for (id, answer) in answers { #expect(answer["verdict"]?.text == "pass", "\(id): \(answer)") }
            #expect(answers["sql"]?["got"]?.number == 50 && answers["http"]?["got"]?.number == 200)
            #expect(answers["rows"]?["evidence"]?.text == "count(*) of 2 tables against 70 captured rows")
            #expect(answers["some"]?["evidence"]?.text == "count(*) of 2 tables against 70 captured rows")
            #expect(answers["extensions"]?["evidence"]?.text == "2 extensions in the backup")
            #expect(answers["sequences"]?["evidence"]?.text == "1 sequences in the backup")
            #expect(answers["http"]?["evidence"]?.text == "GET \(application.address)/200")

            try expectTimes(in: report)
            #expect(report["backup"]?["state"]?.text == "committed")
            #expect(report["backup"]?["artefacts"]?.elements.allSatisfy { $0["sha256"]?.text?.count == 64 } == true)
            let deviations = report["deviations"]?.elements.compactMap(\.text) ?? []
            #expect(deviations.first?.contains("autovacuum = off, fsync = on, max_wal_size = 4GB") == true)
            #expect(
                report["assumptions"]?.elements.contains {
                    $0.text == "The clock of this host was not set between the backup and the drill."
                } == true)
            let next = try await place.drill().report
            #expect(next["backup"]?["id"]?.text == id && next["backup"]?["state"]?.text == "drilled")
            #expect(next["chain"]?["prev"]?.text?.hasPrefix("sha256:") == true)
        }
    }

    /// The recovery time ends where the gating checks do; the recovery point is the age of the oldest snapshot.
    private func expectTimes(in report: JSONValue) throws {
        let phases = report["recovery_time"]?["phases"]?.elements ?? []
        let names = phases.compactMap { $0["name"]?.text }
        #expect(
            Set(names).subtracting(["other"])
                == ["select", "provision", "fetch", "restore", "warm_up", "verify", "deep_verify", "cleanup"])
        let t0 = try moment(report["clock"]?["t0"])
        let measured = try #require(report["recovery_time"]?["measured_s"]?.number)
        let verify = try #require(phases.last { $0["name"]?.text == "verify" })
        let deep = try #require(phases.last { $0["name"]?.text == "deep_verify" })
        let end = try moment(verify["start"]).since(t0).seconds + (verify["s"]?.number ?? 0)
        #expect(measured >= end - 0.001)
        #expect(try measured <= moment(deep["start"]).since(t0).seconds + 0.001)
        #expect(report["recovery_time"]?["total_s"]?.number == measured)
        #expect(
            phases.allSatisfy { phase in
                let isAfter = ["deep_verify", "cleanup"].contains(phase["name"]?.text)
                return phase["in_recovery_time"] == .bool(!isAfter)
            })

        let point = report["recovery_point"]
        let age = try t0.since(moment(point?["covered"])).seconds
        #expect(abs((point?["rpa_s"]?.number ?? 0) - age) < 0.000_002)
        #expect(point?["covered"] == report["backup"]?["recovery_point"])
        let skew = try #require(report["clock"]?["skew_ms"]?.number)
        let uncertainty = try #require(report["clock"]?["skew_unc_ms"]?.number)
        #expect(uncertainty > 0 && abs(skew) <= uncertainty, "the server is on this host")
        #expect(abs((point?["uncertainty_s"]?.number ?? 0) * 1000 - abs(skew) - uncertainty) < 0.01)
        #expect(point?["uncertainty_basis"]?.text?.contains("the server's clock against that of the host") == true)
        #expect((point?["timeline"]?.number ?? 0) >= 1)
    }

    private func moment(_ value: JSONValue?) throws -> Timestamp {
        guard case .instant(let time) = TimeText.parse(value?.text ?? "") else { throw CancellationError() }
        return time
    }

    @Test func `each fail on what is wrong with the restored server, and prove nothing where they could not be asked`()
        async throws
    {
        try await withEverything { place, role in
            _ = try await place.backUp()
            let application = try await Application.start(in: place)
            try place.write(
                """
                DELETE FROM t WHERE id = 7;
                ALTER TABLE t ADD COLUMN late int;
                ALTER ROLE "\(role)" RENAME TO somebody;
                ALTER TABLE "Möbel" ALTER name TYPE text;
                DROP EXTENSION citext;
                SELECT setval('"Möbel_id_seq"', 3);
                CREATE OR REPLACE FUNCTION same(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN -$1; END';
                """, to: "break.sql")
            let psql = "\(place.cluster.programs)/psql -XqAt -v ON_ERROR_STOP=1 -f \(place.path("break.sql"))"
            try place.writeDrill(checks: [
                "{id: break, type: command, with: {argv: [/bin/sh, -c, \"\(psql) $APEX_DATABASE_URL\"]}}",
                "{id: rows, type: rows}",
                "{id: sql, type: sql, with: {sql: \"SELECT count(*) FROM t\"}, expect: {eq: 50}}",
                "{id: gone, type: sql, with: {sql: \"SELECT 1 FROM gone\"}, expect: {eq: 1}}",
                "{id: structure, type: structure}", "{id: roles, type: roles}", "{id: extensions, type: extensions}",
                "{id: sequences, type: sequences}",
                "{id: amcheck, type: amcheck, gating: true, with: {heapallindexed: true}}",
                "{id: http, type: http, with: {url: \"\(application.address)/503\"}}",
                "{id: moved, type: http, with: {url: \"\(application.address)/302\"}}",
                "{id: closed, type: http, with: {url: \"http://127.0.0.1:1/\"}}",
                "{id: command, type: command, with: {argv: [/bin/sh, -c, exit 3]}}",
                "{id: slow-sql, type: sql, timeout: 200ms, with: {sql: \"SELECT 1 FROM pg_sleep(600)\"}, expect: {eq: 1}}",
                "{id: slow-match, type: sql, timeout: 200ms, with: {sql: \"SELECT repeat('a', 1009)\"}, "
                    + "expect: {matches: '^(a*)(a*)(a*)(a*)(a*)(a*)\\1\\2\\3\\4\\5\\6b?$'}}",
                "{id: unmatched, type: sql, with: {sql: SELECT 'abc'}, expect: {matches: ^b}}",
                "{id: pattern, type: sql, gating: false, with: {sql: SELECT 'a'}, expect: {matches: '['}}",
                "{id: slow-http, type: http, timeout: 200ms, with: {url: \"\(application.address)/hang\"}}",
                "{id: slow-command, type: command, timeout: 200ms, with: {argv: [/bin/sleep, \"600\"]}}",
                "{id: syntax, type: sql, with: {sql: SELEC 1}, expect: {eq: 1}}",
                "{id: unknown, type: rows, with: {tables: [unknown]}}",
                "{id: other-sql, type: sql, with: {sql: SELECT 1, database: other}, expect: {eq: 1}}",
                "{id: other-command, type: command, with: {argv: [/bin/true], database: other}}",
                "{id: other-rows, type: rows, with: {database: other}}",
                "{id: program, type: command, with: {argv: [no-such-program]}}",
                "{id: absolute, type: command, with: {argv: [/no/such/program]}}",
                "{id: secret, type: command, with: {argv: [/bin/true], env: {TOKEN: 'env:NO_SUCH_TOKEN'}}}",
                "{id: late, type: sql, gating: false, with: {sql: SELECT 1}, expect: {eq: 2}}",
            ])
            let (status, report) = try await place.drill()
            #expect(status == 1 && report["verdict"]?.text == "fail")
            let answers = answers(report)
            let failed = [
                "rows": "captured 50, restored 49", "sql": "got 49, expected = 50", "gone": "gone",
                "structure": "fingerprint",
                "roles": role, "extensions": "citext", "sequences": "is at 3, captured at 20", "amcheck": "same_idx",
                "http": "got 503", "moved": "got 302", "closed": "had no answer", "command": "got 3, expected",
                "slow-sql": "no answer within 200 ms", "slow-http": "no answer",
                "slow-match": "no answer within 200 ms", "unmatched": "got 'abc', expected matches '^b'",
                "slow-command": "no answer within 200 ms", "unknown": "holds no table unknown",
                "other-sql": "holds no database 'other'; it holds '\(place.database)'",
                "other-command": "holds no database 'other'", "other-rows": "holds no database 'other'",
                "late": "got 1, expected = 2",
            ]
            for (id, words) in failed {
                let answer = answers[id]
                #expect(answer?["verdict"]?.text == "fail", "\(id): \(answer.debugDescription)")
                #expect(answer?["reason"]?.text?.contains(words) == true, "\(id): \(answer.debugDescription)")
            }
            #expect(answers["break"]?["verdict"]?.text == "pass", "\(answers["break"].debugDescription)")
            for (id, words) in [
                "syntax": "syntax error", "program": "no-such-program", "absolute": "/no/such/program",
                "secret": "NO_SUCH_TOKEN", "pattern": "cannot match '['",
            ] {
                #expect(answers[id]?["verdict"]?.text == "not_verified", "\(id): \(answers[id].debugDescription)")
                #expect(answers[id]?["reason"]?.text?.contains(words) == true, "\(id)")
            }
            let severities = report["findings"]?.elements.compactMap { $0["severity"]?.text } ?? []
            #expect(severities.filter { $0 == "failed" }.count == 22 && severities.last == "advisory")
            #expect(report["recovery_time"]?["total_s"] == nil && report["objectives"]?["rto_verdict"]?.text == "fail")
            #expect((report["recovery_time"]?["not_recovered_within_s"]?.number ?? 0) > 0)
            #expect(report["cleanup"]?["done"] == .bool(true))
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(try await place.array("list").first?["state"]?.text == "restored")
        }
    }
}

@Suite struct `A drill that cannot begin or be recorded` {
    private static let rows = "{id: rows, type: rows}"

    @Test func `is NOT VERIFIED with a report, and FAIL when the repository itself is damaged`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.writeDrill(checks: [Self.rows])
            let arguments = ["drill", "run", place.path("drill.yaml")]
            for (more, words) in [
                (["--repository", "file:///no/such/repository"], "There is no repository directory"),
                (["--cluster", "other"], "is not registered"),
            ] {
                let output = try await place.tool.run(arguments + more + ["--json"])
                let report = try output.json()
                #expect(output.status == 2 && report["verdict"]?.text == "not_verified")
                let reason = report["reasons"]?.elements.first?.text ?? ""
                #expect(reason.hasPrefix("the repository could not be read: ") && reason.contains(words), "\(reason)")
                #expect(report["cleanup"]?["done"] == .bool(true) && report["recovery_point"] == nil)
                let text = try await place.tool.run(arguments + more)
                #expect(text.status == 2 && text.standardOutput.contains("**NOT VERIFIED**"))
                #expect(text.standardOutput.contains("Report: kept nowhere"))
            }
            #expect(try await place.array("drill", "list").isEmpty)
            let address = try await place.tool.run(arguments + ["--repository", "ftp://host"])
            #expect(address.status == 78)

            let marker = "repository/repository.json"
            var bytes = try place.directory.read(marker)
            bytes[bytes.count / 2] ^= 1
            try place.directory.write(bytes, to: marker)
            let damaged = try await place.tool.run(arguments + ["--json"])
            #expect(try damaged.status == 1 && damaged.json()["verdict"]?.text == "fail")
        }
    }

    @Test func `is NOT VERIFIED before anything is restored if a check's regular expression is none`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.writeDrill(checks: [
                Self.rows, "{id: hex, type: sql, with: {sql: SELECT 'a'}, expect: {matches: '[0-9a-f'}}",
            ])
            let (status, report) = try await place.drill()
            #expect(status == 2 && report["verdict"]?.text == "not_verified")
            let reason = report["reasons"]?.elements.first?.text ?? ""
            let cause = "The check 'hex' cannot be asked. the server cannot match '[0-9a-f'"
            #expect(reason.hasPrefix("the policy cannot be carried out: \(cause)"), "\(reason)")
            #expect(reason.contains("brackets [] not balanced"), "\(reason)")
            let phases = report["recovery_time"]?["phases"]?.elements.compactMap { $0["name"]?.text } ?? []
            #expect(phases.contains("provision") && !phases.contains("restore"), "\(phases)")
            #expect(try place.scratchLeftovers().isEmpty)
        }
    }

    @Test func `keeps what it measured when the ledger is broken`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.writeDrill(checks: [Self.rows])
            #expect(try await place.drill().status == 0)
            let ledger = "repository/clusters/apex/drills/ledger/00000001.json"
            try place.directory.write(Array("{}".utf8), to: ledger)
            let (status, report) = try await place.drill()
            #expect(status == 2 && report["verdict"]?.text == "not_verified")
            #expect(report["reasons"]?.elements.first?.text?.hasPrefix("the drill could not be recorded: ") == true)
            #expect(report["objectives"]?["rto_verdict"]?.text == "pass")
            #expect((report["recovery_time"]?["total_s"]?.number ?? 0) > 0)
            #expect(report["checks"]?.elements.first?["verdict"]?.text == "pass")
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(try await place.runs("drill") == ["succeeded", "failed"])
        }
    }
}
