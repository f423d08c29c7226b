import FoundationEssentials
import PostgresAccess
import TestSupport

/// A directory with PostgreSQL's programs, some of which are scripts that call the real one, `"$real" "$@"`.
struct StagedTools {
    let directory: String
    private let files: TemporaryDirectory

    /// Puts a script in the place of each program named; `$stage` is a directory that it may use.
    init(for server: PostgresCluster, replacing scripts: [String: String]) throws {
        files = try TemporaryDirectory()
        directory = files.path(of: "bin")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        for tool in ["pg_dump", "pg_restore", "pg_dumpall", "psql"] {
            let real = server.tools.path(of: tool)
            guard let script = scripts[tool] else {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(directory)/\(tool)", withDestinationPath: real)
                continue
            }
            let text = """
                #!/bin/sh
                real=\(real) stage=\(files.path)
                [ "$*" != --version ] || exec "$real" --version
                \(script)

                """
            try files.writeProgram(text, to: "bin/\(tool)")
        }
    }

    /// What a script wrote to `$stage/<name>`, or `nil` if it has not.
    func text(_ name: String) -> String? {
        (try? files.read(name)).map { String(decoding: $0, as: UTF8.self) }
    }
}
