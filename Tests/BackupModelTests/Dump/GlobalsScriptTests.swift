import Testing

@testable import BackupModel

@Suite struct `Classifying a globals statement` {
    @Test(
        arguments: [
            ("CREATE ROLE app", .createRole(name: "app")),
            ("CREATE ROLE App", .createRole(name: "app")),
            ("CREATE ROLE \"App \"\"é; -- x\"", .createRole(name: "App \"é; -- x")),
            ("ALTER ROLE app WITH LOGIN PASSWORD 'SET'", .alterRole(name: "app")),
            ("ALTER ROLE \"set\" WITH NOLOGIN", .alterRole(name: "set")),
            ("ALTER ROLE app SET work_mem TO '64MB'", .alterRoleSet(name: "app", database: nil)),
            ("ALTER ROLE app IN DATABASE \"My db\" SET work_mem TO '1'", .alterRoleSet(name: "app", database: "My db")),
            ("COMMENT ON ROLE app IS 'x'", .describeRole(name: "app")),
            ("SECURITY LABEL FOR p ON ROLE app IS 'x'", .describeRole(name: "app")),
            ("GRANT a TO b", .grantMembership(group: "a", member: "b", statement: "GRANT a TO b")),
            (
                "GRANT a TO b WITH ADMIN OPTION GRANTED BY c",
                .grantMembership(group: "a", member: "b", statement: "GRANT a TO b WITH ADMIN OPTION")
            ),
            (
                "GRANT \"to\" TO \"granted by\" WITH INHERIT FALSE GRANTED BY postgres",
                .grantMembership(
                    group: "to", member: "granted by", statement: "GRANT \"to\" TO \"granted by\" WITH INHERIT FALSE")
            ),
            ("GRANT SET ON PARAMETER work_mem TO app", .grantParameter(role: "app")),
            ("GRANT SET, ALTER SYSTEM ON PARAMETER \"a.b\" TO app", .grantParameter(role: "app")),
            ("GRANT CREATE ON TABLESPACE \"Fast one\" TO app", .describeTablespace(name: "Fast one")),
            (
                "CREATE TABLESPACE \"Fast one\" OWNER \"O\" LOCATION '/srv/it''s'",
                .createTablespace(name: "Fast one", owner: "O", location: "/srv/it's")
            ),
            ("CREATE TABLESPACE a LOCATION E'/b\\\\c'", .createTablespace(name: "a", owner: nil, location: "/b\\c")),
            ("ALTER TABLESPACE a SET (random_page_cost=1.1)", .describeTablespace(name: "a")),
            ("COMMENT ON TABLESPACE a IS 'x'", .describeTablespace(name: "a")),
            ("SET client_encoding = 'UTF8'", .sessionSetting),
            ("SET a TO b", .sessionSetting),
            ("SET SESSION AUTHORIZATION app", .other),
            ("SET ROLE app", .other),
            ("RESET ROLE", .other),
            ("DROP ROLE app", .other),
            ("CREATE DATABASE app", .other),
            ("GRANT", .other),
            ("ALTER ROLE", .other),
            ("", .other),
        ] as [(String, GlobalsStatement)])
    func `reads what it does and to whom`(statement: String, meaning: GlobalsStatement) {
        #expect(GlobalsStatement(classifying: statement) == meaning)
    }
}

@Suite struct `Planning what a server lacks of a globals script` {
    private let builtIn: Set<String> = ["postgres", "pg_monitor"]

    @Test func `runs everything but tablespaces on a server that has nothing`() throws {
        let plan = try script(ScriptFixtures.globals16).plan(existingRoles: builtIn, existingTablespaces: [])
        #expect(
            plan.statements.map(\.sql) == [
                "SET default_transaction_read_only = off",
                "SET client_encoding = 'UTF8'",
                "SET standard_conforming_strings = on",
                "CREATE ROLE \"App User \"\"é\"",
                "ALTER ROLE \"App User \"\"é\" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION "
                    + "NOBYPASSRLS CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy'",
                "CREATE ROLE \"UPPER\"",
                "ALTER ROLE \"UPPER\" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION "
                    + "NOBYPASSRLS",
                "CREATE ROLE readers",
                "ALTER ROLE readers WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS",
                "COMMENT ON ROLE readers IS 'it''s; a -- comment'",
                "ALTER ROLE readers SET work_mem TO '64MB'",
                "GRANT pg_monitor TO \"UPPER\" WITH INHERIT TRUE",
                "GRANT readers TO \"App User \"\"é\" WITH ADMIN OPTION, INHERIT TRUE",
                "GRANT SET ON PARAMETER work_mem TO readers",
            ])
        #expect(plan.rolesToCreate == ["App User \"é", "UPPER", "readers"])
        #expect(
            plan.missingTablespaces == [
                GlobalsPlan.Tablespace(name: "Fast one", owner: "readers", location: "/srv/tablespaces/ts 16")
            ])
        #expect(
            plan.skipped.map { "\($0.label): \($0.reason)" } == [
                "role \"postgres\": the role exists on the target",
                "attributes of role \"postgres\": the role exists on the target",
                "tablespace \"Fast one\": tablespaces are not created by a restore",
                "settings, rights or comment of tablespace \"Fast one\": tablespaces are not created by a restore",
            ])
    }

    @Test func `drops the grantor of PostgreSQL 14 too`() throws {
        let plan = try script(ScriptFixtures.globals14).plan(existingRoles: builtIn, existingTablespaces: [])
        #expect(plan.statements.map(\.sql).contains("GRANT readers TO \"App User \"\"é\" WITH ADMIN OPTION"))
        #expect(plan.statements.map(\.sql).contains("GRANT pg_monitor TO \"UPPER\""))
    }

    @Test func `runs nothing where everything exists`() throws {
        let script = try script(ScriptFixtures.globals16)
        let plan = script.plan(
            existingRoles: builtIn.union(script.roles), existingTablespaces: Set(script.tablespaces.map(\.name)))
        #expect(plan.statements.isEmpty)
        #expect(plan.rolesToCreate.isEmpty)
        #expect(plan.missingTablespaces.isEmpty)
        #expect(plan.skipped.contains { $0.reason == "both roles exist on the target" })
        #expect(plan.skipped.contains { $0.reason == "the tablespace exists on the target" })
    }

    @Test func `never alters a role that exists`() throws {
        let script = try script(ScriptFixtures.globals16)
        for role in script.roles {
            let plan = script.plan(existingRoles: builtIn.union([role]), existingTablespaces: [])
            let quoted = "\"\(role.split(separator: "\"").joined(separator: "\"\""))\""
            let alterations = plan.statements.filter {
                $0.sql.hasPrefix("ALTER ROLE \(role) ") || $0.sql.hasPrefix("ALTER ROLE \(quoted) ")
                    || $0.sql.hasPrefix("CREATE ROLE \(role)") || $0.sql.hasPrefix("CREATE ROLE \(quoted)")
            }
            #expect(alterations.isEmpty, "\(role)")
        }
    }

    @Test func `grants a membership when the group or the member is new`() throws {
        let script = try script(ScriptFixtures.globals16)
        func grants(_ existing: Set<String>) -> Bool {
            script.plan(existingRoles: builtIn.union(existing), existingTablespaces: []).statements
                .contains { $0.sql.hasPrefix("GRANT readers") }
        }
        #expect(grants([]))
        #expect(grants(["readers"]))
        #expect(grants(["App User \"é"]))
        #expect(!grants(["readers", "App User \"é"]))
    }

    @Test func `leaves out what names a role that the server cannot have`() throws {
        let plan = try script(ScriptFixtures.globals16).plan(existingRoles: ["postgres"], existingTablespaces: [])
        #expect(!plan.statements.contains { $0.sql.contains("pg_monitor") })
        #expect(plan.skipped.contains { $0.reason == "role \"pg_monitor\" does not exist on the target" })
    }

    @Test func `names statements without a word of their text`() throws {
        for text in [ScriptFixtures.globals14, ScriptFixtures.globals16] {
            let plan = try script(text).plan(existingRoles: [], existingTablespaces: [])
            for label in plan.statements.map(\.label) + plan.skipped.map(\.label) {
                #expect(!label.contains("SCRAM") && !label.contains("PASSWORD"))
            }
        }
    }

    @Test func `runs no statement of a kind it does not know`() throws {
        let text = "CREATE ROLE a;\nDROP ROLE b;\nSET SESSION AUTHORIZATION b;\nALTER SYSTEM SET x = 'secret';\n"
        let plan = try script(text + Self.trailer).plan(existingRoles: [], existingTablespaces: [])
        #expect(plan.statements.map(\.sql) == ["CREATE ROLE a"])
        #expect(plan.skipped.map(\.label) == Array(repeating: "statement of another kind", count: 3))
    }

    @Test func `refuses a script without its trailer`() throws {
        let error = try #require(throws: BackupError.self) { try script("CREATE ROLE a;\n") }
        #expect(error.code == .dumpIncomplete)
    }

    private static let trailer = "--\n-- PostgreSQL database cluster dump complete\n--\n\n"

    private func script(_ text: String) throws -> GlobalsScript { try GlobalsScript(parsing: Array(text.utf8).span) }
}
