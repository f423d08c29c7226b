import BackupModel

/// Reads one check of a drill policy: `{id, type, gating, timeout, expect, with: {…}}`.
enum DrillCheckReader {
    private static let checkKeys = ["id", "type", "gating", "timeout", "expect", "with"]

    /// The keys under `with` by kind of check; `database` stands under `with`, too.
    private static func parameters(of kind: DrillCheck.Kind) -> YAMLKeys {
        switch kind {
        case .rows: YAMLKeys(["tables", "database"], later: ["table": "Write tables: [NAME]."])
        case .sql: YAMLKeys(["sql", "database"])
        case .structure, .extensions, .sequences: YAMLKeys(["database"])
        case .roles, .replay, .boundary: YAMLKeys([])
        case .amcheck:
            YAMLKeys(["heapallindexed", "database"], later: ["sample": "Leave it out; every index is checked."])
        case .http: YAMLKeys(["url"], later: ["prove": "Leave it out."])
        case .command: YAMLKeys(["argv", "env", "database"])
        }
    }

    /// The check in `value`, of a drill that restores what `source` says.
    static func read(_ value: YAMLValue, of source: DrillPolicy.Source) throws(BackupError) -> DrillCheck {
        let mapping = try value.mapping(
            YAMLKeys(checkKeys, later: later(in: value)))
        let typeValue = try mapping.required("type")
        let kind = try typeValue.choice(
            DrillCheck.Kind.self,
            later: [
                "rows_vs_manifest", "invariant", "checksum", "pg_checksums", "heartbeat", "sentinel_pair", "redis",
                "objects", "canary",
            ])
        guard kind.backupKinds.contains(source.kind) else {
            throw typeValue.error(
                "a \(kind.rawValue) check can not be asked of a \(source.kind.rawValue) backup",
                remedy: source.kind == .physical
                    ? "Write an sql check: a physical backup does not say what its tables hold."
                    : "Leave it out; a logical backup has one recovery point.")
        }
        let parameters = try mapping.mappingIfPresent("with", Self.parameters(of: kind))
        var check = DrillCheck(
            id: try identifier(mapping.required("id")), try question(kind, mapping, parameters, at: value),
            isGating: try mapping["gating"]?.boolean(),
            database: try parameters?["database"].map { value throws(BackupError) in
                try database(value, source.databases)
            })
        if let timeout = mapping["timeout"] { check.timeout = try timeout.duration() }
        return check
    }

    /// What belongs under `with`, so that a parameter one level too high is named as that.
    private static func later(in value: YAMLValue) -> [String: String] {
        let words = ["tables", "sql", "database", "heapallindexed", "url", "argv", "env"]
        let misplaced = words.map { ($0, "Write it under 'with': with: {\($0): …}.") }
        return Dictionary(uniqueKeysWithValues: misplaced).merging(
            ["tolerance": "Leave it out; row counts of a logical backup are exact.", "when": "Leave it out."]
        ) { first, _ in first }
    }

    private static func identifier(_ value: YAMLValue) throws(BackupError) -> String {
        let text = try value.string()
        guard text.isPlain, text.utf8.count <= 100 else {
            throw value.error(
                "'\(value.path)' can not be '\(text)'", remedy: "Use up to 100 of a-z, A-Z, 0-9, '.', '_' and '-'.")
        }
        return text
    }

    private static func database(_ value: YAMLValue, _ restored: [String]?) throws(BackupError) -> String {
        let name = try value.string()
        guard restored?.contains(name) != false else {
            throw value.error(
                "'\(value.path)' can not be '\(name)', which 'source.databases' leaves out",
                remedy: "Add it to source.databases, or ask a database that is restored.")
        }
        return name
    }

    private static func question(
        _ kind: DrillCheck.Kind, _ check: YAMLMapping, _ parameters: YAMLMapping?, at value: YAMLValue
    ) throws(BackupError) -> DrillCheck.Question {
        func required(_ key: String) throws(BackupError) -> YAMLValue {
            guard let parameters else {
                throw value.error("key 'with' is missing in '\(value.path)'", remedy: "Add with: {\(key): …}.")
            }
            return try parameters.required(key)
        }
        switch kind {
        case .rows:
            try refuseOtherThanManifest(check)
            return .rows(tables: try parameters?["tables"]?.namesOrAll())
        case .sql:
            return .sql(try required("sql").string(), try ExpectationReader.read(check.required("expect")))
        case .structure:
            try refuseOtherThanManifest(check)
            return .structure
        case .roles:
            try refuseOtherThanManifest(check)
            return .roles
        case .extensions:
            try refuseOtherThanManifest(check)
            return .extensions
        case .sequences:
            try refuseOtherThanManifest(check)
            return .sequences
        case .replay, .boundary:
            if let expect = check["expect"] {
                throw expect.error("a \(kind.rawValue) check has no 'expect'", remedy: "Leave it out.")
            }
            return kind == .replay ? .replay : .boundary
        case .amcheck:
            if let expect = check["expect"] {
                throw expect.error("an amcheck has no 'expect'", remedy: "Leave it out; a sound index has no errors.")
            }
            return .amcheck(heapAllIndexed: try parameters?["heapallindexed"]?.boolean() ?? false)
        case .http:
            let status = try check.mappingIfPresent("expect", YAMLKeys(["status"]))?["status"]
            return .http(url: try url(required("url")), status: try status?.integer(in: 100...599) ?? 200)
        case .command:
            let status = try check.mappingIfPresent("expect", YAMLKeys(["exit"]))?["exit"]
            return .command(
                try command(required("argv"), environment: parameters?["env"]),
                exitStatus: Int32(try status?.integer(in: 0...255) ?? 0))
        }
    }

    private static func refuseOtherThanManifest(_ check: YAMLMapping) throws(BackupError) {
        guard let expect = check["expect"] else { return }
        let mapping = try expect.mapping(
            YAMLKeys(["vs"], later: ["between": "Write vs: manifest; a logical backup is compared exactly."]))
        try mapping.required("vs").word("manifest", later: ["previous"])
    }

    private static func url(_ value: YAMLValue) throws(BackupError) -> String {
        let text = try value.string()
        guard !ConnectionReference.holdsPassword(text) else {
            throw value.error("'\(value.path)' holds a password", remedy: "Probe a URL that needs none.")
        }
        let isAddress = text.hasPrefix("http://") || text.hasPrefix("https://")
        guard isAddress, !text.hasSuffix("://"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            !text.contains("{{")
        else {
            throw value.error("'\(value.path)' must be an http:// or https:// URL, not '\(text)'")
        }
        return text
    }

    private static func command(
        _ argv: YAMLValue, environment: YAMLValue?
    ) throws(BackupError) -> DrillCommand {
        var command = DrillCommand(arguments: try argv.arguments())
        if let program = command.arguments.first, program.contains("/"), !program.hasPrefix("/") {
            throw argv.error(
                "'\(argv.path)[0]' can not be '\(program)'; a drill has no working directory of its own",
                remedy: "Write an absolute path, or the name of a program that is in PATH.")
        }
        if let index = command.arguments.firstIndex(where: { $0.contains("{{") }) {
            throw argv.error(
                "'\(argv.path)[\(index)]' has a placeholder; they are replaced in 'env' only",
                remedy: "The program finds the server's URL in \(DrillCommand.targetURLVariable).")
        }
        for (name, value) in try environment?.freeMapping().entries ?? [] {
            command.environment[name] = try variable(name, value)
        }
        return command
    }

    private static func variable(_ name: String, _ value: YAMLValue) throws(BackupError) -> DrillCommand.Value {
        guard SecretReference(parsing: "env:\(name)") != nil else {
            throw value.error("'\(name)' can not be the name of an environment variable")
        }
        let text = try value.scalar().text
        if text.hasPrefix("env:") || text.hasPrefix("file:/") { return .secret(try value.secretReference()) }
        guard !text.replacing(DrillCommand.targetURLPlaceholder, with: "").contains("{{") else {
            throw value.error(
                "'\(value.path)' has an unknown placeholder",
                remedy: "The only one is \(DrillCommand.targetURLPlaceholder).")
        }
        guard !ConnectionReference.holdsPassword(text) else {
            throw value.error(
                "'\(value.path)' holds a password", remedy: "Refer to it with env:NAME or file:/PATH.")
        }
        return .text(text)
    }
}
