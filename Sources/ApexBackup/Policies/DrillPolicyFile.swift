package import BackupModel

/// Reads a drill policy from YAML.
///
/// A key that is accepted changes what the drill does or stands in its report; anything
/// else is an error with line, column and the nearest known key.
package enum DrillPolicyFile {
    /// The drill in `text`; errors name `fileName`.
    package static func parse(_ text: String, fileName: String) throws(BackupError) -> DrillPolicy {
        let root = try StrictYAML(fileName: fileName).root(
            of: text,
            keys: YAMLKeys(
                [
                    "apiVersion", "kind", "metadata", "objectives", "scenario", "source", "target", "checks", "cleanup",
                    "report",
                ],
                later: [
                    "steps": "Leave it out; the usual steps are provision, select, fetch, restore, warm-up and verify.",
                    "schedule": "Leave it out, and run the drill from a timer.",
                    "guards": "Leave it out; a drill restores only into a server of its own.",
                    "hypothesis": "Leave it out.", "notify": "Leave it out.", "ignore": "Leave it out.",
                    "parameters": "Leave it out, and write the values where they are used.",
                ]))
        try root.required("apiVersion").word("apex-backup/v1")
        try root.required("kind").word("DrillPolicy")
        let source = try root["source"].map { value throws(BackupError) in try self.source(value) } ?? .init()
        var policy = DrillPolicy(
            metadata: try metadata(root.required("metadata")), objectives: try objectives(root.required("objectives")),
            checks: try checks(root.required("checks"), of: source))
        policy.source = source
        if let scenario = root["scenario"] { policy.scenario = try self.scenario(scenario) }
        if let target = root["target"] { policy.target = try self.target(target, of: source.kind) }
        if let cleanup = try root.mappingIfPresent("cleanup", cleanupKeys) {
            try cleanup["strategy"]?.word("always", later: ["on_success", "hold_on_failure"])
        }
        if let report = try root.mappingIfPresent("report", reportKeys), let formats = report["formats"] {
            policy.reportFormats = try reportFormats(formats)
        }
        return policy
    }

    private static let cleanupKeys = YAMLKeys(
        ["strategy"],
        later: [
            "hold_for": "Leave it out; the target is always removed.", "steps": "Leave it out.",
            "prove": "Leave it out; that the server and its directory are gone is always proved.",
        ])

    private static let reportKeys = YAMLKeys(
        ["formats"],
        later: [
            "to": "Leave it out; reports go into the repository.", "sign": "Leave it out.",
            "witness": "Leave it out.", "keep": "Leave it out; reports stay in the repository.",
            "controls": "Write them under scenario.controls.", "include_values": "Leave it out.",
        ])

    private static func metadata(_ value: YAMLValue) throws(BackupError) -> DrillPolicy.Metadata {
        let mapping = try value.mapping(
            YAMLKeys(["name", "version", "owner", "function", "criticality", "plan_ref", "labels"]))
        var metadata = DrillPolicy.Metadata(name: try mapping.required("name").string())
        metadata.version = try mapping["version"]?.integer(in: 1...1_000_000)
        metadata.owner = try mapping["owner"]?.string()
        metadata.function = try mapping["function"]?.string()
        metadata.criticality = try mapping["criticality"]?.choice(DrillPolicy.Metadata.Criticality.self)
        metadata.planReference = try mapping["plan_ref"]?.string()
        for (key, label) in try mapping["labels"]?.freeMapping().entries ?? [] {
            metadata.labels[key] = try label.string()
        }
        return metadata
    }

    private static func objectives(_ value: YAMLValue) throws(BackupError) -> DrillPolicy.Objectives {
        let mapping = try value.mapping(
            YAMLKeys(
                ["rto", "rpo", "assume", "rta_ends_at"],
                later: ["mtd": "Leave it out.", "wrt": "Leave it out; the drill ends at the last gating check."]))
        var objectives = DrillPolicy.Objectives(
            rto: try mapping.required("rto").duration(), rpo: try mapping.required("rpo").duration())
        if let assume = try mapping.mappingIfPresent("assume", YAMLKeys(["detect", "declare"])) {
            if let detect = assume["detect"] { objectives.detect = try detect.duration(atLeast: .zero) }
            if let declare = assume["declare"] { objectives.declare = try declare.duration(atLeast: .zero) }
        }
        try mapping["rta_ends_at"]?.word("verified", later: ["app_ready", "promoted"])
        return objectives
    }

    private static func scenario(_ value: YAMLValue) throws(BackupError) -> DrillPolicy.Scenario {
        let mapping = try value.mapping(YAMLKeys(["type", "text", "controls"]))
        var scenario = DrillPolicy.Scenario()
        try mapping["type"]?.word(
            DrillPolicy.Scenario.type, later: ["pitr", "failover", "sabotage", "tabletop"])
        scenario.text = try mapping["text"]?.string()
        if let controls = mapping["controls"] { scenario.controls = try controls.strings() }
        return scenario
    }

    private static func source(_ value: YAMLValue) throws(BackupError) -> DrillPolicy.Source {
        let mapping = try value.mapping(
            YAMLKeys(
                ["kind", "select", "databases", "target"],
                later: [
                    "system": "Leave it out; the backups are those of the repository and cluster of the backup policy."
                ]))
        var source = DrillPolicy.Source()
        if let kind = mapping["kind"] { source.kind = try kind.choice(BackupKind.self, later: ["any"]) }
        if let databases = mapping["databases"] {
            source.databases = try databases.namesOrAll()
            guard source.kind == .logical || source.databases == nil else {
                throw databases.error(
                    "'\(databases.path)' can not name databases of a physical backup",
                    remedy: "Leave it out; a physical backup is restored whole.")
            }
        }
        if let target = mapping["target"] { try read(target, into: &source) }
        if let select = mapping["select"] {
            let keys = YAMLKeys(
                ["method", "id"],
                later: [
                    "within": "Leave it out.", "seed": "Leave it out.", "exclude_drilled": "Leave it out.",
                    "store": "Leave it out; there is one repository.",
                ])
            source.selection = try selection(select.mapping(keys))
        }
        if let target = mapping["target"] { try requireBackup(for: target, of: source) }
        return source
    }

    /// Transactions do not end in the order of their numbers, which are used again.
    private static func requireBackup(for target: YAMLValue, of source: DrillPolicy.Source) throws(BackupError) {
        guard case .moment(.transaction) = source.target else { return }
        if case .id = source.selection { return }
        throw target.error(
            "'\(target.path).xid' needs the backup to begin with",
            remedy: "Add select: {method: id, id: …}, with a backup that ended before the transaction did.")
    }

    /// Reads what a physical backup is recovered to: one of `{latest: true}`, `{immediate: true}`, `{time: …}`, `{lsn: …}`,
    /// `{name: …}`, `{xid: …}` and `{random_within: 7d}`, the last perhaps with `seed`.
    private static func read(_ value: YAMLValue, into source: inout DrillPolicy.Source) throws(BackupError) {
        guard source.kind == .physical else {
            throw value.error(
                "'\(value.path)' is given, but a logical backup has one recovery point",
                remedy: "Leave it out, or write kind: physical.")
        }
        let known = ["latest", "immediate", "time", "lsn", "name", "xid", "random_within"]
        let mapping = try value.mapping(
            YAMLKeys(
                known + ["seed"],
                later: ["ago": "Write random_within, or a time.", "at_declared": "Write latest: true."]))
        let given = mapping.entries.filter { $0.key != "seed" }
        guard let (key, wanted) = given.first, given.count == 1 else {
            throw value.error(
                "'\(value.path)' must have one target", remedy: "It may be \(known.joined(separator: ", ")).")
        }
        if let seed = mapping["seed"] {
            guard key == "random_within" else {
                throw seed.error("'\(seed.path)' is given, but the target is not random", remedy: "Leave it out.")
            }
            source.seed = UInt32(try seed.integer(in: 0...Int(UInt32.max)))
        }
        switch key {
        case "latest", "immediate":
            guard try wanted.boolean() else { throw wanted.error("'\(wanted.path)' can only be true") }
            source.target = .moment(key == "latest" ? .latest : .immediate)
        case "random_within":
            source.target = .random(within: try wanted.scalar().text == "window" ? nil : try wanted.duration())
        case "name": source.target = .moment(.restorePoint(try wanted.string()))
        case "xid": source.target = .moment(.transaction(UInt64(try wanted.integer(in: 1...Int.max))))
        default: source.target = .moment(try moment(wanted, isTime: key == "time"))
        }
    }

    private static func moment(_ value: YAMLValue, isTime: Bool) throws(BackupError) -> RestoreMoment {
        let text = try value.scalar().text
        if isTime, case .instant(let time) = TimeText.parse(text) { return .time(time) }
        if !isTime, let lsn = LogSequenceNumber(parsing: text) { return .position(lsn) }
        throw value.error(
            "'\(value.path)' can not be '\(text)'",
            remedy: isTime ? "Write a time with its offset: '2025-01-27T14:30:00Z'." : "Write a position: 0/3000148.")
    }

    private enum SelectionMethod: String, CaseIterable { case latest, oldest, id }

    private static func selection(_ mapping: YAMLMapping) throws(BackupError) -> DrillPolicy.Source.Selection {
        let method = try mapping.required("method")
        let choice = try method.choice(SelectionMethod.self, later: ["random", "stratified"])
        guard choice == .id else {
            if let id = mapping["id"] {
                throw id.error(
                    "'\(id.path)' is given, but the method is '\(choice.rawValue)'", remedy: "Leave one out.")
            }
            return choice == .latest ? .latest : .oldest
        }
        let value = try mapping.required("id")
        let text = try value.string()
        guard let id = RunID(parsing: text) else {
            throw value.error(
                "'\(value.path)' can not be '\(text)'", remedy: "Write a backup's id as 'apex-backup list' shows it.")
        }
        return .id(id)
    }

    private static func target(
        _ value: YAMLValue, of kind: BackupKind
    ) throws(BackupError) -> DrillPolicy.Target {
        let mapping = try value.mapping(
            YAMLKeys(
                ["type", "pg_major", "dir", "overrides"],
                later: ["listen": "Leave it out; the server listens on a socket only.", "ttl": "Leave it out."]))
        var target = DrillPolicy.Target()
        try mapping["type"]?.word(
            "local_instance", later: ["kubernetes", "existing_server", "docker", "command"])
        try mapping["pg_major"]?.word("same", later: ["14", "15", "16", "17", "18"])
        if let directory = mapping["dir"], try directory.string() != "scratch" {
            let path = try directory.string()
            guard path.hasPrefix("/") else {
                throw directory.error("'\(directory.path)' must be scratch or an absolute path, not '\(path)'")
            }
            target.directory = path
        }
        for (name, setting) in try mapping["overrides"]?.freeMapping().entries ?? [] {
            target.overrides[name] = try override(name, setting, of: kind)
        }
        return target
    }

    private static func override(
        _ name: String, _ value: YAMLValue, of kind: BackupKind
    ) throws(BackupError) -> String {
        let isName = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || "_.".utf8.contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        guard isName else {
            throw value.error("'\(name)' can not be the name of a setting", remedy: "Write it in lower case.")
        }
        let text = try value.scalar().text
        switch DrillPolicy.Target.isolation(ofSetting: name, origin: kind == .logical ? .initialised : .restored) {
        case .never:
            throw value.error(
                "'\(name)' isolates the drill's server and can not be overridden", remedy: "Leave it out.")
        case .only(let allowed) where text != allowed:
            throw value.error(
                "'\(name)' isolates the drill's server and can only be '\(allowed)'", remedy: "Leave it out.")
        default: return text
        }
    }

    private static func checks(
        _ value: YAMLValue, of source: DrillPolicy.Source
    ) throws(BackupError) -> [DrillCheck] {
        var checks: [DrillCheck] = []
        for element in try value.list() {
            let check = try DrillCheckReader.read(element, of: source)
            guard !checks.contains(where: { $0.id == check.id }) else {
                throw element.error("a second check has the id '\(check.id)'", remedy: "Give each an id of its own.")
            }
            checks.append(check)
        }
        guard checks.contains(where: \.isGating) else {
            throw value.error(
                "no check is gating; such a drill proves nothing", remedy: "Add a check with gating: true.")
        }
        return checks
    }

    private static func reportFormats(_ value: YAMLValue) throws(BackupError) -> [DrillPolicy.ReportFormat] {
        var formats: [DrillPolicy.ReportFormat] = []
        for element in try value.list() {
            let format = try element.choice(DrillPolicy.ReportFormat.self, later: ["html", "junit"])
            if !formats.contains(format) { formats.append(format) }
        }
        guard formats.contains(.json) else {
            throw value.error(
                "'\(value.path)' must have json", remedy: "Add json; it is the record, and the rest views.")
        }
        return formats
    }
}
