import BackupModel
import SystemPackage

/// A directory with PostgreSQL's programs of one version.
package struct ClientTools: Sendable, Hashable {
    package var directory: String
    /// The version of each program, as it writes it: `15.13`.
    package var tools: [String: String]
    package var major: Int

    /// The absolute path of one of the programs.
    package func path(of tool: String) -> String { "\(directory)/\(tool)" }

    /// The programs that dump and restore.
    package static let dumpAndRestore = ["pg_dump", "pg_restore", "pg_dumpall", "psql"]
    /// The programs that make a server.
    package static let server = ["initdb", "postgres"]

    /// Finds `programs` for a server: of the same major version if there are any, else of the nearest newer one.
    ///
    /// Looks into `directory` alone if one is given; else into the usual versioned directories, where pg_config points
    /// and in `searchPath`. Programs older than the server are refused, since they cannot read it.
    package static func find(
        _ programs: [String] = dumpAndRestore, forServer version: Int, directory: String?, searchPath: String
    ) async throws -> ClientTools {
        let serverMajor = version / 10_000
        let places =
            if let directory { [directory] } else {
                await usualDirectories(major: serverMajor, searchPath: searchPath)
            }
        var found: [ClientTools] = []
        for place in places {
            guard let tools = await inspect(place, for: programs) else { continue }
            if tools.major == serverMajor { return tools }
            found.append(tools)
        }
        if let newer = found.filter({ $0.major > serverMajor }).min(by: { $0.major < $1.major }) { return newer }
        throw refusal(programs, found: found, serverVersion: version, places: places)
    }

    private static func refusal(
        _ programs: [String], found: [ClientTools], serverVersion: Int, places: [String]
    ) -> BackupError {
        let first = programs.first ?? ""
        let searched = "searched: \(places.joined(separator: ", "))"
        let remedy = "Install PostgreSQL \(serverVersion / 10_000)'s programs, or name their directory as cluster.bin."
        guard let newest = found.max(by: { $0.major < $1.major }) else {
            return BackupError(
                .toolMissing, "No directory has all of \(programs.joined(separator: ", ")).", reason: searched,
                remedy: remedy)
        }
        let version = newest.tools[first] ?? String(newest.major)
        return BackupError(
            .toolTooOld,
            "\(first) \(version) in \(newest.directory) is older than the server, which is "
                + "\(serverVersion / 10_000).\(serverVersion % 10_000).",
            reason: "an older \(first) does not know PostgreSQL \(serverVersion / 10_000); \(searched)", remedy: remedy)
    }

    /// Where packages put their programs: the server's version first, then newer ones, then older ones.
    private static func usualDirectories(major: Int, searchPath: String) async -> [String] {
        let newest = max(major, 18) + 4
        let majors = Array(major...newest) + (9..<max(major, 10)).reversed()
        var places = majors.flatMap { ["/usr/lib/postgresql/\($0)/bin", "/usr/pgsql-\($0)/bin"] }
        places += ["/usr/local/pgsql/bin", "/opt/bitnami/postgresql/bin"]
        places = places.filter { isDirectory($0) }
        let searched = searchPath.split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
        for place in searched where isFile("\(place)/pg_config") {
            let command = ChildCommand("\(place)/pg_config", arguments: ["--bindir"], environment: ["LC_ALL": "C"])
            guard let (outcome, text) = try? await capture(command), outcome.isSuccess else { continue }
            places.append(String(text.prefix { !$0.isNewline }))
        }
        var seen: Set<String> = []
        return (places + searched).filter { seen.insert($0).inserted }
    }

    /// The version of `programs` in `directory`, or `nil` unless all are there and run.
    private static func inspect(_ directory: String, for programs: [String]) async -> ClientTools? {
        guard programs.allSatisfy({ isFile("\(directory)/\($0)") }) else { return nil }
        var tools: [String: String] = [:]
        for program in programs {
            let command = ChildCommand(
                "\(directory)/\(program)", arguments: ["--version"], environment: ["LC_ALL": "C"])
            guard let (outcome, text) = try? await capture(command), outcome.isSuccess,
                let match = text.firstMatch(of: /\(PostgreSQL\) (\S+)/)
            else { return nil }
            tools[program] = String(match.1)
        }
        guard let major = programs.first.flatMap({ tools[$0] }).flatMap({ Int($0.prefix(while: \.isNumber)) }) else {
            return nil
        }
        return ClientTools(directory: directory, tools: tools, major: major)
    }

    private static func isFile(_ path: String) -> Bool {
        (try? Stat(FilePath(path)))?.type == .regular
    }

    private static func isDirectory(_ path: String) -> Bool {
        (try? Stat(FilePath(path)))?.type == .directory
    }
}
