import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A dump file that no repository knows` {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private func restore(_ file: String, to place: ConnectionSettings) async throws -> DumpFileRestore.Plan {
            let server = try await PostgresCluster.shared()
            let restore = try DumpFileRestore(
                path: directory.path(of: file), url: place.redacted,
                environment: BackupEnvironment(variables: ["PATH": "/usr/bin:/bin"]), jobs: 1,
                bin: server.tools.directory)
            return try await onOwnThreads {
                let plan = try await restore.plan()
                _ = try await restore.run(plan)
                return plan
            }
        }

        /// Writes the dump of `database` to `file` with PostgreSQL's and the system's own programs.
        private func dump(_ database: ConnectionSettings, of server: PostgresCluster, _ script: String) async throws {
            let made = try await runScript(
                script, server.tools.path(of: "pg_dump"), environment: database.environment, directory: directory.path)
            try #require(made.status == .exited(0), "\(made.errors)")
        }

        @Test func `is restored into a new database, whatever its format, compression and name`() async throws {
            let files: [(name: String, script: String, format: DumpFormat)] = [
                ("apex_full_20250127.sql", "\"$1\" > apex_full_20250127.sql", .plain),
                ("apex_full_20250127.sql.gz", "\"$1\" | gzip > apex_full_20250127.sql.gz", .plain),
                ("apex.sql.zst", "\"$1\" --inserts | zstd -q > apex.sql.zst", .plain),
                ("apex.dump", "\"$1\" -Fc > apex.dump", .custom),
                ("apex.dump.gz", "\"$1\" -Fc -Z0 | gzip > apex.dump.gz", .custom),
                ("wrongly-named.sql", "\"$1\" -Fc > wrongly-named.sql", .custom),
            ]
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await SampleDatabase.fill(server, database)
                let origin = try await SampleDatabase.contents(server, database)
                for (name, script, format) in files {
                    try await dump(database, of: server, script)
                    try await server.withUnusedName { place in
                        let plan = try await restore(name, to: place)
                        #expect(plan.format == format && plan.database == place.database && plan.bytes > 0, "\(name)")
                        #expect(plan.warnings.contains { $0.contains("no manifest") })
                        #expect(try await SampleDatabase.contents(server, place) == origin, "\(name)")
                        let again = try await requireFailure { try await restore(name, to: place) }
                        #expect(again.code == .targetNotEmpty && again.unchanged == "Nothing was changed.")
                    }
                }
            }
        }

        @Test func `that is not whole leaves no database behind`() async throws {
            let files = [
                ("cut.sql", "\"$1\" | head -c 30000 > cut.sql"),
                ("endless.sql", "\"$1\" | sed '/^-- PostgreSQL database dump complete/d' > endless.sql"),
                ("short.sql.gz", "\"$1\" | gzip | head -c 9000 > short.sql.gz"),
                ("short.sql.zst", "\"$1\" | zstd -q | head -c 9000 > short.sql.zst"),
                ("short.dump", "\"$1\" -Fc | head -c 30000 > short.dump"),
                ("short.dump.gz", "\"$1\" -Fc | gzip | head -c 30000 > short.dump.gz"),
                ("empty.sql", ": > empty.sql"), ("text.sql.gz", "echo hello > text.sql.gz"),
            ]
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await SampleDatabase.fill(server, database)
                for (name, script) in files {
                    try await dump(database, of: server, script)
                    try await server.withUnusedName { place in
                        let error = try await requireFailure { try await restore(name, to: place) }
                        #expect(
                            [.dumpIncomplete, .objectDamaged, .restoreFailed].contains(error.code), "\(name): \(error)")
                        let left = try await server.databases().filter { $0.hasPrefix(place.database ?? "") }
                        #expect(left.isEmpty, "\(name)")
                    }
                }
            }
        }

        @Test func `cannot run commands of this host, wherever they stand`() async throws {
            let server = try await PostgresCluster.shared()
            let version = server.tools.tools["psql"] ?? ""
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                try await dump(database, of: server, "\"$1\" > sound.sql")
                let sound = String(decoding: try directory.read("sound.sql"), as: UTF8.self)
                let marker = directory.path(of: "ran")
                let hostile = "\\! touch \(marker)\n"
                let own = sound.split(separator: "\n").first { $0.hasPrefix("\\restrict ") }.map(String.init)
                let token = own.map { String($0.dropFirst("\\restrict ".count)) } ?? "none"
                let trailer = try #require(sound.firstRange(of: "-- PostgreSQL database dump complete"))
                let middle = try #require(sound.firstRange(of: "CREATE TABLE"))
                let scripts = [
                    hostile + sound,
                    String(sound[..<middle.lowerBound]) + hostile + String(sound[middle.lowerBound...]),
                    String(sound[..<trailer.lowerBound]) + hostile + String(sound[trailer.lowerBound...]),
                    sound + hostile,
                    "\\unrestrict \(token)\n" + hostile + sound,
                    String(sound[..<middle.lowerBound]) + "\\unrestrict \(token)\n" + hostile
                        + String(sound[middle.lowerBound...]),
                    "\\o |touch \(marker)\n" + sound,
                    "\\copy t TO PROGRAM 'touch \(marker)'\n" + sound,
                    "\\restrict x\n\\unrestrict x\n" + hostile + sound,
                ]
                for (number, script) in scripts.enumerated() {
                    try directory.write(Array(script.utf8), to: "hostile.sql")
                    try await server.withUnusedName { place in
                        let error = try await requireFailure { try await restore("hostile.sql", to: place) }
                        #expect(error.unchanged?.contains("dropped") == true, "\(number), psql \(version): \(error)")
                        let databases = try await server.databases()
                        #expect(!databases.contains(place.database ?? ""))
                    }
                    #expect(try !directory.contents().contains("ran"), "script \(number), psql \(version)")
                }
            }
        }

        @Test func `that would act on other databases or roles is refused before it does`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                try await dump(database, of: server, "\"$1\" --create --clean > created.sql")
                try await dump(database, of: server, "\"$1\" > sound.sql")
                let sound = try directory.read("sound.sql")
                let filler = [UInt8]("-- \(String(repeating: "x", count: 2 << 20))\n".utf8)
                for (file, text) in [
                    ("late.sql", "DROP DATABASE \"\(name)\";\n"), ("connect.sql", "\\connect \(name)\n"),
                    ("role.sql", "CREATE ROLE eve_\(name) SUPERUSER;\n"), ("user.sql", "/* */ drop user\nx;\n"),
                ] {
                    try directory.write(filler + Array(text.utf8) + sound, to: file)
                }
                for file in ["created.sql", "late.sql", "connect.sql", "role.sql", "user.sql"] {
                    try await server.withUnusedName { place in
                        let error = try await requireFailure { try await restore(file, to: place) }
                        #expect(error.code == .usage, "\(file): \(error)")
                        #expect(error.message.contains("is not the dump of one database alone"), "\(file): \(error)")
                        #expect((error.unchanged == "Nothing was changed.") == (file == "created.sql"), "\(error)")
                        let left = try await server.databases().filter { $0.hasPrefix(place.database ?? "") }
                        #expect(left.isEmpty, "\(file)")
                    }
                }
                #expect(try await server.firstValue("SELECT n FROM t", in: database) == "1")
                // What the error says to do.
                let lines = String(decoding: try directory.read("created.sql"), as: UTF8.self)
                let connect = try #require(lines.ranges(of: "\n\\connect ").last)
                let rest = lines[connect.upperBound...].drop { $0 != "\n" }
                try directory.write(Array(rest.utf8), to: "cut.sql")
                try await server.withUnusedName { place in
                    _ = try await restore("cut.sql", to: place)
                    #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
                }
            }
        }

        @Test func `that psql would read otherwise than it stands, or undo, is not taken for restored`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    "CREATE TABLE t AS SELECT repeat('x', 30) FROM generate_series(1, 5000)", in: database)
                try await dump(database, of: server, "\"$1\" > sound.sql")
                var zeroed = try directory.read("sound.sql")
                zeroed.replaceSubrange(60_000..<64_096, with: [UInt8](repeating: 0, count: 4096))
                try directory.write(zeroed, to: "zeroed.sql")
                let end = "--\n-- PostgreSQL database dump complete\n--\n\n"
                try directory.write(
                    Array("BEGIN; CREATE TABLE t ();\n\(String(repeating: "--\n", count: 3000))\(end)".utf8),
                    to: "open.sql")
                try directory.write(Array("BEGIN; CREATE TABLE t (); COMMIT;\n\(end)".utf8), to: "closed.sql")
                for (file, code, word) in [
                    ("zeroed.sql", ErrorCode.objectDamaged, "zero byte (number 60000)"),
                    ("open.sql", .restoreFailed, "leaves a transaction open"),
                ] {
                    try await server.withUnusedName { place in
                        let error = try await requireFailure { try await restore(file, to: place) }
                        #expect(error.code == code && error.reason?.contains(word) == true, "\(error)")
                        let left = try await server.databases().filter { $0.hasPrefix(place.database ?? "") }
                        #expect(left.isEmpty, "\(file)")
                    }
                }
                try await server.withUnusedName { place in _ = try await restore("closed.sql", to: place) }
            }
        }

        @Test func `into a template, or under a name that would be cut, is refused`() async throws {
            let server = try await PostgresCluster.shared()
            try directory.write(Array("SELECT 1;\n".utf8), to: "x.sql")
            for (name, code) in [
                ("template1", ErrorCode.targetUnsuitable), (String(repeating: "ä", count: 32), .usage),
            ] {
                let error = try await requireFailure {
                    try await restore("x.sql", to: server.settings.with(database: name))
                }
                #expect(error.code == code && error.unchanged == "Nothing was changed.", "\(error)")
            }
        }

        @Test func `in a form that is not read is refused with what reads it`() async throws {
            let server = try await PostgresCluster.shared()
            try directory.write(Array("BZh91AY&SY".utf8), to: "x.sql.bz2")
            let made = try await runScript("mkfifo pipe.sql", "", environment: [:], directory: directory.path)
            try #require(made.status == .exited(0), "\(made.errors)")
            for (file, word) in [
                ("x.sql.bz2", "bzip2"), ("pipe.sql", "not a regular file"), (".", "not a regular file"),
            ] {
                let error = try await requireFailure {
                    try await restore(file, to: server.settings.with(database: "nowhere"))
                }
                #expect("\(error)".contains(word), "\(error)")
            }
        }

        @Test func `is refused when it is not there, or the URL names no database`() async throws {
            let server = try await PostgresCluster.shared()
            try directory.write(Array("SELECT 1;\n".utf8), to: "x.sql")
            let nameless = try await requireFailure { try await restore("x.sql", to: server.settings.withoutDatabase) }
            #expect(nameless.code == .usage && nameless.remedy.contains("postgresql://host/NAME"))
            let missing = try await requireFailure {
                try await restore("no-such-file.sql", to: server.settings.with(database: "nowhere"))
            }
            #expect("\(missing)".contains("no-such-file.sql"), "\(missing)")
        }
    }
}
