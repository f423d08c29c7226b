package import BackupModel

/// Reads a backup policy from YAML; unknown keys are errors, and so is what this version would ignore.
package enum BackupPolicyFile {
    /// The policy in `text`, the text of the file `fileName`.
    ///
    /// What has no default may be left out: the environment or the command line may give it.
    package static func parse(_ text: String, fileName: String) throws(BackupError) -> BackupPolicy {
        let root = try StrictYAML(fileName: fileName).root(
            of: text,
            keys: YAMLKeys([
                "apiVersion", "kind", "metadata", "cluster", "repository", "backup", "retention", "encryption",
                "objectives", "restore", "notify",
            ]))
        try root.required("apiVersion").word("apex-backup/v1")
        try root.required("kind").word("BackupPolicy")
        var policy = BackupPolicy()
        if let metadata = try root.mappingIfPresent("metadata", YAMLKeys(["name"])), let name = metadata["name"] {
            policy.name = try clusterName(name)
        }
        if let cluster = try root.mappingIfPresent("cluster", YAMLKeys(["url", "bin"])) {
            policy.cluster = try self.cluster(cluster)
        }
        if let repository = root["repository"] {
            let (address, store) = try RepositoryPolicyReader.read(repository)
            policy.repositories = [address]
            policy.store = store
        }
        if let backup = try root.mappingIfPresent("backup", YAMLKeys(["logical", "physical", "jobs", "memory"])) {
            try read(backup, into: &policy)
        }
        if let retention = root["retention"] { try read(retention: retention, into: &policy) }
        if let encryption = root["encryption"] { try refuse(encryption: encryption) }
        if let objectives = try root.mappingIfPresent("objectives", YAMLKeys(["rto", "rpo"])) {
            if let rto = objectives["rto"] { policy.objectives.rto = try rto.duration() }
            if let rpo = objectives["rpo"] { policy.objectives.rpo = try rpo.duration() }
        }
        if let restore = try root.mappingIfPresent("restore", YAMLKeys(["into", "compare_timeout"])) {
            if let into = restore["into"] { policy.restoreInto = try place(into) }
            if let timeout = restore["compare_timeout"] {
                policy.compareTimeout = try timeout.duration(atLeast: .zero)
            }
        }
        if let notify = root["notify"], let first = try notify.list().first {
            throw first.unsupported("an entry in 'notify'", remedy: "Leave the list empty.")
        }
        return policy
    }

    private static func clusterName(_ value: YAMLValue) throws(BackupError) -> String {
        let name = try value.string()
        guard RepositoryLayout(cluster: name) != nil else {
            throw value.error(
                "'\(value.path)' can not be '\(name)'",
                remedy: "Use up to 100 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit.")
        }
        return name
    }

    private static func cluster(_ mapping: YAMLMapping) throws(BackupError) -> BackupPolicy.ClusterSettings {
        var cluster = BackupPolicy.ClusterSettings()
        if let url = mapping["url"] { cluster.url = try url.connection() }
        if let bin = mapping["bin"] {
            let text = try bin.string()
            guard text == "auto" || text.hasPrefix("/") else {
                throw bin.error("'\(bin.path)' must be auto or an absolute path, not '\(text)'")
            }
            cluster.bin = text == "auto" ? nil : text
        }
        return cluster
    }

    private static func read(_ backup: YAMLMapping, into policy: inout BackupPolicy) throws(BackupError) {
        if let logical = backup["logical"] { policy.logical = try self.logical(logical) }
        if let physical = backup["physical"] { policy.physical = try self.physical(physical) }
        if let jobs = backup["jobs"], try jobs.scalar().text != "auto" {
            policy.jobs = try jobs.integer(in: BackupPolicy.possibleJobs)
        }
        if let memory = backup["memory"], try memory.scalar().text != "auto" {
            policy.memory = try memory.byteCount(atLeast: DumpMemory.smallest)
        }
    }

    private static func logical(_ value: YAMLValue) throws(BackupError) -> BackupPolicy.LogicalSettings {
        let mapping = try value.mapping(
            YAMLKeys(["databases", "exclude", "format", "compression", "verify_dump", "counts", "globals"]))
        var logical = BackupPolicy.LogicalSettings()
        if let databases = mapping["databases"] {
            logical.databases = try databases.namesOrAll().map { .named($0) } ?? .all
        }
        if let exclude = mapping["exclude"] { logical.exclude = try exclude.strings() }
        if let format = mapping["format"] {
            logical.format = try format.choice(DumpFormat.self)
        }
        if let compression = mapping["compression"] { logical.compression = try self.compression(compression) }
        if let verify = mapping["verify_dump"] {
            logical.verifyDump = try verify.choice(BackupPolicy.LogicalSettings.DumpVerification.self)
        }
        if let counts = mapping["counts"] {
            logical.counts = try counts.choice(BackupPolicy.LogicalSettings.RowCounts.self)
        }
        if let globals = mapping["globals"] { logical.globals = try globals.boolean() }
        return logical
    }

    private static func physical(_ value: YAMLValue) throws(BackupError) -> BackupPolicy.PhysicalSettings {
        let mapping = try value.mapping(YAMLKeys(["compression", "checkpoint", "max_rate", "wal", "wal_timeout"]))
        var physical = BackupPolicy.PhysicalSettings()
        if let compression = mapping["compression"] { physical.compression = try self.compression(compression) }
        if let checkpoint = mapping["checkpoint"] {
            physical.checkpoint = try checkpoint.choice(BackupPolicy.PhysicalSettings.Checkpoint.self)
        }
        if let rate = mapping["max_rate"], try rate.scalar().text != "none" {
            physical.maxRate = try rate.byteCount(atLeast: 32 << 10)
        }
        if let wal = mapping["wal"] {
            physical.wal = try wal.choice(BackupPolicy.PhysicalSettings.WALCapture.self)
        }
        if let timeout = mapping["wal_timeout"] { physical.walTimeout = try timeout.duration() }
        return physical
    }

    private static func compression(_ value: YAMLValue) throws(BackupError) -> Compression {
        let text = try value.string()
        guard let compression = Compression(parsing: text) else {
            throw value.error(
                "'\(value.path)' can not be '\(text)'",
                remedy: "Write none, gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:19.")
        }
        return compression
    }

    private static func read(retention value: YAMLValue, into policy: inout BackupPolicy) throws(BackupError) {
        let mapping = try value.mapping(
            YAMLKeys([
                "minimum", "last", "days", "daily", "weekly", "monthly", "yearly", "window", "after_backup",
            ]))
        func number(_ key: String, from least: Int) throws(BackupError) -> Int? {
            try mapping[key]?.integer(in: least...100_000)
        }
        func nullable(_ key: String, default value: Int?) throws(BackupError) -> Int? {
            guard let found = mapping[key] else { return value }
            return found.isNull ? nil : try found.integer(in: 1...100_000)
        }
        let base = policy.retention
        policy.retention = RetentionPolicy(
            minimum: try number("minimum", from: 1) ?? base.minimum,
            keepLast: try nullable("last", default: base.keepLast),
            days: try nullable("days", default: base.days),
            daily: try number("daily", from: 0) ?? base.daily,
            weekly: try number("weekly", from: 0) ?? base.weekly,
            monthly: try number("monthly", from: 0) ?? base.monthly,
            yearly: try number("yearly", from: 0) ?? base.yearly)
        if let window = mapping["window"] { policy.retentionWindow = try window.duration(atLeast: .zero) }
        if let after = mapping["after_backup"] { policy.prunesAfterBackup = try after.boolean() }
    }

    private static func refuse(encryption value: YAMLValue) throws(BackupError) {
        let mapping = try value.mapping(YAMLKeys(["passphrase", "key_file"]))
        for (_, value) in mapping.entries where !value.isNull {
            _ = try value.secretReference()
            throw value.unsupported(
                "encryption ('\(value.path)')",
                remedy: "Leave it null and keep the repository on an encrypted volume; nothing would be encrypted here."
            )
        }
    }

    private static func place(_ value: YAMLValue) throws(BackupError) -> BackupPolicy.RestorePlace? {
        if value.isNull { return nil }
        let text = try value.scalar().text
        return text.hasPrefix("/") ? .directory(text) : .server(try value.connection())
    }
}
