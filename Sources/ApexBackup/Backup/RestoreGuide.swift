import BackupModel
import PostgresAccess

/// `RESTORE.md`: how to restore this very backup with PostgreSQL's programs and coreutils alone.
struct RestoreGuide {
    let id: RunID
    let cluster: String
    let globals: Artefact?
    let dumps: [(DatabaseRecord, Artefact)]

    var text: String {
        var lines = [
            "# Restoring backup \(id) of '\(cluster)' without apex-backup", "",
            "Run these in bash in the folder that holds this file, as a superuser of an empty server (`PGHOST`, `PGPORT`",
            "and `PGUSER` set). A dump restores into PostgreSQL of its own major version or a newer one. Go on only after",
            "a command that ended with 0: a database whose dump was not read to its end is not whole.", "",
            "Check the stored files first: compare with the digests in `manifest.json`.", "", "```sh",
            "sha256sum " + allVolumes.map(Self.shellQuoted).joined(separator: " "), "```", "",
        ]
        if let globals {
            lines += [
                "Roles, memberships and tablespaces; errors about roles that exist already may be ignored:", "",
                "```sh", Self.strictPipes, "\(read(globals)) | psql -X -d postgres", "```", "",
            ]
        }
        for (database, artefact) in dumps { lines += section(database, artefact) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// psql takes a stream that breaks off for one that ends.
    private static let strictPipes = "set -o pipefail"

    private var allVolumes: [String] {
        ((globals.map { [$0] } ?? []) + dumps.map(\.1)).flatMap { $0.volumes.map(\.name) }
    }

    private func section(_ database: DatabaseRecord, _ artefact: Artefact) -> [String] {
        let load =
            switch database.format {
            case .custom: "\(read(artefact)) | pg_restore --exit-on-error -d \(Self.connectionString(database.name))"
            case .plain: "\(read(artefact)) | psql -X -v ON_ERROR_STOP=1 -d \(Self.connectionString(database.name))"
            }
        return [
            "## Database \(Self.oneLine(database.name))", "",
            "As of \(database.snapshot.clock.readable), LSN \(database.snapshot.lsn); \(database.rows) rows in "
                + "\(database.tables) tables.", "", "```sh", Self.strictPipes,
        ] + create(database) + [load] + properties(of: database) + [
            "vacuumdb --analyze-only -d \(Self.connectionString(database.name))", "```", "",
        ]
    }

    /// `createdb`, except for the databases that every new server has.
    private func create(_ database: DatabaseRecord) -> [String] {
        guard !["postgres", "template1"].contains(database.name) else { return [] }
        let p = database.properties
        var options = [
            "--maintenance-db=template1", "--template=template0", "--encoding=\(Self.shellQuoted(p.encoding))",
            "--lc-collate=\(Self.shellQuoted(p.collate))", "--lc-ctype=\(Self.shellQuoted(p.ctype))",
            "--owner=\(Self.shellQuoted(p.owner))",
        ]
        switch p.localeProvider {
        case "i":
            options.append("--locale-provider=icu")
            if let locale = p.locale { options.append("--icu-locale=\(Self.shellQuoted(locale))") }
            if let rules = p.icuRules { options.append("--icu-rules=\(Self.shellQuoted(rules))") }
        case "b":
            options.append("--locale-provider=builtin")
            if let locale = p.locale { options.append("--builtin-locale=\(Self.shellQuoted(locale))") }
        default: break
        }
        return ["createdb \(options.joined(separator: " ")) -- \(Self.shellQuoted(database.name))"]
    }

    /// What belongs to the database itself, which its dump does not carry.
    private func properties(of database: DatabaseRecord) -> [String] {
        database.properties.statements(for: database.name).map { statement in
            "psql -X -v ON_ERROR_STOP=1 -d template1 -c \(Self.shellQuoted(statement.sql))"
        }
    }

    private func read(_ artefact: Artefact) -> String {
        let files = artefact.volumes.map { Self.shellQuoted($0.name) }.joined(separator: " ")
        return switch artefact.compression {
        case .none: "cat \(files)"
        case .gzip: "cat \(files) | gunzip"
        case .zstd: "cat \(files) | zstd -d"
        }
    }

    /// A database's name as one shell word that libpq takes literally, whatever it looks like.
    private static func connectionString(_ name: String) -> String {
        shellQuoted("dbname=\(quoteConninfoValue(name))")
    }

    static func shellQuoted(_ text: String) -> String {
        guard text.isPlain, !text.isEmpty, !text.hasPrefix("-") else {
            return "'\(text.escaping(["'": "'\\''"]))'"
        }
        return text
    }

    private static func oneLine(_ text: String) -> String {
        text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : String($0) }.joined()
    }
}
