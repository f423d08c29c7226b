import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

@Suite struct `A server that cannot be restored into` {
    private static let secret = "hunter2-wrong"

    @Test func `is named with the reason, leaves a run record, and no password is told`() async throws {
        let guarded = try await GuardedCluster.shared()
        let cluster = guarded.cluster
        let secret = Self.secret
        let cases: [(url: String, code: String, state: String, words: [String])] = [
            (
                cluster.url("x", user: "locked", password: secret), "authentication-failed", "failed",
                ["28P01", "locked@"]
            ),
            (cluster.url("x", user: "locked"), "authentication-failed", "failed", ["asks for a password"]),
            (
                "postgresql://app:\(secret)@no-such-host.invalid/x", "server-unreachable", "failed",
                ["no-such-host.invalid"]
            ),
            ("postgresql://app:\(secret)@127.0.0.1:1/x", "server-unreachable", "failed", ["127.0.0.1:1"]),
            (cluster.url("x", user: "modest"), "permission-denied", "failed", ["'modest'", "CREATEDB"]),
            (guarded.pooledURL, "pooled-connection", "refused", ["connection pooler"]),
            (cluster.url("app"), "target-not-empty", "refused", ["'app'", "--overwrite"]),
        ]
        try await Workplace.with { place in
            _ = try await place.backUp()
            // Another test restores `app` into `app_copy` there.
            let databases = """
                SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname NOT LIKE 'app\\_copy%'
                """
            let before = try await cluster.answer(databases)
            for (url, code, _, words) in cases {
                let arguments = ["restore", "--database", place.database, "--to", url]
                let planned = try await place.tool.run(arguments + ["--dry-run"])
                let json = try await place.tool.run(arguments + ["--json"])
                #expect(planned.status == 1 && json.status == 1, "\(code)")
                #expect(try json.json()["error"]?["code"]?.text == code, "\(json.standardOutput)")
                let unchanged = try json.json()["error"]?["unchanged"]?.text
                #expect(unchanged?.hasPrefix("Nothing was ") == true, "\(json.standardOutput)")
                for word in words { #expect(planned.standardError.contains(word), "\(planned.standardError)") }
                #expect(!(planned.standardError + json.standardOutput).contains(secret))
            }
            // A dry run is no attempt.
            #expect(try await place.runs("restore").sorted() == cases.map(\.state).sorted())
            #expect(try await cluster.answer(databases) == before)
            for (file, bytes) in try place.contents() {
                #expect(!String(decoding: bytes, as: UTF8.self).contains(secret), "\(file)")
            }
        }
    }
}

@Suite struct `The name of a database` {
    private func encoded(_ name: String) -> String {
        name.utf8.map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }

    @Test func `is taken literally, whatever is in it`() async throws {
        try await Workplace.with { place in
            let cluster = place.cluster
            let plain = place.database
            let names = [plain.uppercased(), "\(plain)_test", "-rf \(plain)", "\(plain) quo\"te's/\n日本 %s"]
            func quoted(_ name: String) -> String { "\"\(name.split(separator: "\"").joined(separator: "\"\""))\"" }
            for (number, name) in names.enumerated() {
                try await cluster.execute("CREATE DATABASE \(quoted(name)) TEMPLATE template0")
                try await cluster.execute("CREATE TABLE t AS SELECT \(number) AS n", database: name)
            }
            let all = [plain] + names
            let backup = try await place.tool.run(["backup"] + all.map { "--database=\($0)" })
            #expect(backup.status == 0, "\(backup.standardError)")
            // Without a name in the backup that is the same, there is no choosing.
            let unclear = try await place.tool.run("restore", "--to", cluster.url("\(plain)_other"), "--json")
            #expect(unclear.status == 64)
            for name in all {
                #expect(try unclear.json()["error"]?["reason"]?.text?.contains("'\(name)'") == true)
            }
            for (number, name) in names.enumerated() {
                let target = "\(name)+"
                let arguments = ["restore", "--database=\(name)", "--to", cluster.url(encoded(target))]
                let first = try await place.tool.run(arguments)
                #expect(first.status == 0, "\(first.standardError)")
                #expect(try await cluster.answer("SELECT n FROM t", database: target) == "\(number)")
                guard number > 1 else { continue }
                let wrong = try await place.tool.run(arguments + ["--overwrite", "--confirm=\(name)"])
                #expect(
                    wrong.status == 64 && wrong.standardError.contains("was not confirmed"), "\(wrong.standardError)")
                let again = try await place.tool.run(arguments + ["--overwrite", "--confirm=\(target)", "--drop-old"])
                #expect(again.status == 0, "\(again.standardError)")
            }
            let left = "SELECT count(*) FROM pg_database WHERE datname ILIKE '%\(plain)%'"
            #expect(try await cluster.answer(left) == "\(2 * names.count + 1)")
            for name in names + names.map({ "\($0)+" }) {
                try await cluster.execute("DROP DATABASE \(quoted(name)) WITH (FORCE)")
            }
        }
    }
}

@Suite struct `What restore is asked for` {
    @Test func `tables, a moment, a tablespace and jobs reach it, and so does a dump file`() async throws {
        try await Workplace.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE other AS SELECT 1 AS n", database: place.database)
            _ = try await place.backUp()
            let target = "\(place.database)_copy"
            let url = cluster.url(target)
            let tables = """
                SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
                WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                """
            func restored(_ arguments: String...) async throws -> String? {
                let output = try await place.tool.run(["restore", "--to", url] + arguments)
                #expect(output.status == 0, "\(arguments): \(output.standardError)")
                let found = try await cluster.answer(tables, database: target)
                try await cluster.execute("DROP DATABASE \(target) WITH (FORCE)")
                return found
            }
            #expect(try await restored("--table", "public.other") == "other")
            #expect(try await restored("--schema", "public", "--jobs", "1") == "other t")
            #expect(try await restored("--tablespace", "pg_default", "--jobs", "2") == "other t")
            let moment = try await place.tool.run("restore", "--to", url, "--at", "2999-01-01T00:00:00Z", "--json")
            #expect(try moment.json()["error"]?["code"]?.text == "moment-unreachable")
            #expect(try await restored("--at", "2999-01-01T00:00:00Z", "--nearest") == "other t")

            let file = place.path("old.sql")
            let head = "--\n-- PostgreSQL database dump\n--\n"
            let end = "--\n-- PostgreSQL database dump complete\n--\n"
            try place.write("\(head)\nCREATE TABLE public.old (n integer);\n\n\(end)", to: "old.sql")
            let wrong = try await place.tool.run("restore", file, "--to", url, "--table", "public.t", "--json")
            #expect(wrong.status == 64)
            let right = try await place.succeed("restore", file, "--to", url, "--json").json()
            #expect(right["seconds"]?.number ?? 0 > 0 && right["plan"] != nil)
            #expect(try await cluster.answer(tables, database: target) == "old")
            try await cluster.execute("DROP DATABASE \(target) WITH (FORCE)")
        }
    }
}

@Suite struct `The latest backup` {
    @Test func `is restored with a warning when an older one was taken of more`() async throws {
        try await Workplace.with { place in
            let wide = try await place.succeed(
                "backup", "--database", place.database, "--database", "postgres", "--json")
            let id = try #require(try wide.json()["id"]?.text)
            let target = place.cluster.url("\(place.database)_copy")
            func warnings(_ arguments: String...) async throws -> [String] {
                let planned = try await place.tool.run(
                    ["restore"] + arguments + ["--database", place.database, "--to", target, "--dry-run", "--json"])
                #expect(planned.status == 0, "\(planned.standardError)")
                return try planned.json()["warnings"]?.elements.compactMap(\.text) ?? []
            }
            #expect(try await warnings("latest").contains { $0.contains(id) } == false)
            let narrow = try await place.backUp()
            #expect(try await warnings("latest").contains { $0.contains("\(id), which is older, was taken of more") })
            #expect(try await warnings(narrow).contains { $0.contains(id) } == false)
            for (name, remedy) in [
                ("postgres", "Name \(id), the newest backup that holds it"), ("lost", "no backup that can be read"),
            ] {
                let refused = try await place.tool.run(["restore", "--database", name, "--to", target, "--json"])
                let error = try refused.json()["error"]
                #expect(refused.status == 64 && error?["remedy"]?.text?.contains(remedy) == true, "\(refused)")
            }
        }
    }
}

@Suite struct `A swap of a database that is in use` {
    @Test func `ends the sessions of others when it is asked to, and only then`() async throws {
        try await Workplace.with { place in
            let cluster = place.cluster
            _ = try await place.backUp()
            let target = "\(place.database)_copy"
            try await place.occupy(target)
            let arguments = ["restore", "--to", cluster.url(target), "--overwrite", "--confirm", target]
            try await cluster.whileLocked("precious", database: target) {
                let refused = try await place.tool.run(arguments + ["--json"])
                let error = try refused.json()["error"]
                #expect(error?["code"]?.text == "target-not-empty", "\(refused)")
                #expect(error?["remedy"]?.text?.contains("--disconnect") == true)
                let ended = try await place.tool.run(arguments + ["--disconnect", "--drop-old"])
                #expect(ended.status == 0, "\(ended.standardError)")
            }
            #expect(try await cluster.answer("SELECT count(*) FROM t", database: target) == "50")
            let left = "SELECT count(*) FROM pg_database WHERE datname LIKE '\(target)%'"
            #expect(try await cluster.answer(left) == "1")
            try await cluster.execute("DROP DATABASE \(target) WITH (FORCE)")
        }
    }
}

@Suite struct `A swap that was killed` {
    @Test func `loses nothing: the next restore names what it left, and completes it`() async throws {
        try await Workplace.with { place in
            let cluster = place.cluster
            _ = try await place.backUp()
            let target = "\(place.database)_copy"
            try await place.occupy(target)
            let arguments = ["restore", "--to", cluster.url(target), "--overwrite"]
            #expect(try await place.tool.run(arguments + ["--json"]).status == 64, "nobody was there to confirm it")
            #expect(try await place.runs("restore") == ["refused"])

            try place.hold("pg_restore")
            let restore = try await place.tool.start(arguments + ["--confirm", target])
            #expect(await place.isHeld())
            let isOpen = "SELECT datallowconn FROM pg_database WHERE datname = '\(target)'"
            // Whoever comments on a database keeps others from renaming it, for which the swap waits with it closed.
            let commenting = try await cluster.session()
            try await commenting.execute("BEGIN; COMMENT ON DATABASE \(target) IS 'busy'")
            try place.letGo()
            let watching = try await cluster.session()
            let renaming = "FROM pg_stat_activity WHERE query LIKE 'ALTER%\(target)%' AND wait_event_type = 'Lock'"
            #expect(try await eventually { try await watching.query("SELECT 1 \(renaming)").firstValue == "1" })
            restore.send(SIGKILL)
            _ = try await restore.output()
            // The server would rename all the same when it is let.
            let ended = try await watching.query("SELECT pg_terminate_backend(pid, 60000) \(renaming)")
            #expect(ended.firstValue == "t")
            await watching.close()
            await commenting.close()
            #expect(try await cluster.answer(isOpen) == "f")
            #expect(try await place.runs("restore").sorted() == ["interrupted", "refused"])
            let half = try #require(
                try await cluster.answer(
                    "SELECT datname FROM pg_database WHERE datname LIKE '\(target)\\_restoring\\_%'"))

            let next = try await place.tool.run(arguments + ["--confirm", target])
            #expect(next.status == 0, "\(next.standardError)")
            #expect(next.standardError.contains("'\(half)' is half restored"), "\(next.standardError)")
            #expect(next.standardError.contains("'\(target)' takes no sessions"), "\(next.standardError)")
            #expect(try await cluster.answer("SELECT count(*) FROM t", database: target) == "50")
            let kept = try #require(
                try await cluster.answer("SELECT datname FROM pg_database WHERE datname LIKE '\(target)\\_before%'"))
            #expect(try await cluster.answer("SELECT n FROM precious", database: kept) == "7")
            for name in [target, half, kept] { try await cluster.execute("DROP DATABASE \(name) WITH (FORCE)") }
        }
    }
}
