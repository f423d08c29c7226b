import BackupModel
import PostgresAccess
import TestSupport
import Testing

@Suite struct `Client tools` {
    private let searchPath = PostgresCluster.searchPath

    @Test func `of the server's major version are found in their own directory`() async throws {
        let cluster = try await PostgresCluster.shared()
        let session = try await cluster.session()
        let version = await session.serverVersionNumber
        await session.close()
        let tools = try await ClientTools.find(forServer: version, directory: nil, searchPath: searchPath)
        #expect(tools.major == version / 10_000)
        #expect(tools.directory != "/usr/bin")
        #expect(Set(tools.tools.keys) == ["pg_dump", "pg_restore", "pg_dumpall", "psql"])
        #expect(tools.tools.values.allSatisfy { $0.hasPrefix("\(tools.major).") })
    }

    @Test func `newer than the server are taken when there are none of its own version`() async throws {
        let tools = try await ClientTools.find(forServer: 100_023, directory: nil, searchPath: searchPath)
        #expect(tools.major > 10)
    }

    @Test func `older than the server are refused with both versions and the directories searched`() async throws {
        try await withFakeTools(version: "14.11 (Debian 14.11-1)") { directory in
            let error = await #expect(throws: BackupError.self) {
                try await ClientTools.find(forServer: 150_013, directory: directory, searchPath: searchPath)
            }
            #expect(error?.code == .toolTooOld)
            #expect(error?.message == "pg_dump 14.11 in \(directory) is older than the server, which is 15.13.")
            #expect(error?.reason?.contains(directory) == true)
            let same = try await ClientTools.find(forServer: 140_001, directory: directory, searchPath: searchPath)
            #expect(same.directory == directory && same.major == 14)
        }
    }

    @Test func `in the search path alone are found, the nearest newer version first`() async throws {
        try await withFakeTools(version: "92.1") { far in
            try await withFakeTools(version: "91beta2") { near in
                let tools = try await ClientTools.find(
                    forServer: 900_000, directory: nil, searchPath: "\(far):\(near)")
                #expect(tools.directory == near && tools.major == 91)
            }
        }
    }

    @Test func `where pg_config points are found`() async throws {
        try await withFakeTools(version: "93.1") { tools in
            let place = PostgresCluster.temporaryPath("config")
            let make = shell(
                "mkdir \"$1\" && printf '#!/bin/sh\\necho %s' \"$2\" > \"$1/pg_config\" && chmod +x \"$1/pg_config\"",
                place, tools)
            try requireSuccess(try await capture(make).outcome, of: make)
            let found = try await ClientTools.find(forServer: 930_000, directory: nil, searchPath: place)
            #expect(found.directory == tools)
            _ = try await capture(shell("rm -r \"$1\"", place))
        }
    }

    @Test func `that are not there are named with the directories searched`() async throws {
        let error = await #expect(throws: BackupError.self) {
            try await ClientTools.find(forServer: 150_013, directory: "/nowhere", searchPath: searchPath)
        }
        #expect(error?.code == .toolMissing)
        #expect(error?.reason == "searched: /nowhere")
        let everywhere = await #expect(throws: BackupError.self) {
            try await ClientTools.find(
                ["no-such-tool"], forServer: 150_013, directory: nil, searchPath: "/nowhere:/usr/bin")
        }
        #expect(everywhere?.code == .toolMissing)
        #expect(everywhere?.reason?.contains("/nowhere") == true)
    }

    /// Runs `body` with a directory whose programs say that they are of `version`.
    private func withFakeTools(version: String, _ body: (String) async throws -> Void) async throws {
        let directory = PostgresCluster.temporaryPath("tools")
        let script = """
            mkdir -p "$1" && for tool in pg_dump pg_restore pg_dumpall psql; do
                printf '#!/bin/sh\\necho "%s (PostgreSQL) %s"\\n' "$tool" "$2" > "$1/$tool" && chmod +x "$1/$tool" || exit 1
            done
            """
        let make = shell(script, directory, version)
        try requireSuccess(try await capture(make).outcome, of: make)
        let result: Result<Void, any Error>
        do { result = .success(try await body(directory)) } catch { result = .failure(error) }
        _ = try await capture(shell("rm -r \"$1\"", directory))
        try result.get()
    }
}
