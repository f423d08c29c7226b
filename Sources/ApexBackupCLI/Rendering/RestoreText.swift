import ApexBackup
import BackupModel

/// Restore plans and results as people read them.
enum RestoreText {
    /// More would bury what matters: beside its source, a target has nearly all globals.
    private static let shownGlobals = 4

    static func plan(_ plan: RestorePlan) -> String {
        var lines = [
            "Plan: restore backup \(plan.backup) into \(onOneLine(plan.target))",
            "  recovery point  \(plan.recoveryPoint.readable), \(DurationText.format(.seconds(plan.ageSeconds))) ago; what "
                + "was written since is not in it",
            "  versions        dump from PostgreSQL \(plan.sourceVersion)"
                + (plan.dumpVersion.map { " by pg_dump \($0)" } ?? "") + ", target \(plan.targetVersion)",
        ]
        if let moment = plan.moment, let difference = plan.momentDifferenceSeconds, difference > 0 {
            lines.append(
                "  moment          asked for \(moment.readable): this is \(DurationText.format(.seconds(difference))) earlier"
            )
        }
        for database in plan.databases {
            lines.append(
                "  database        '\(onOneLine(database.source))' → '\(onOneLine(database.target))': "
                    + "\(describe(database.action)); "
                    + "\(formatBytes(database.contentBytes)), \(database.rows) rows, \(database.feed.rawValue), "
                    + "\(database.jobs) jobs")
        }
        if !plan.rolesToCreate.isEmpty {
            lines.append("  roles to create \(onOneLine(plan.rolesToCreate.joined(separator: ", ")))")
        }
        lines += plan.skippedGlobals.prefix(shownGlobals).map { "  not taken over  \(onOneLine($0))" }
        if plan.skippedGlobals.count > shownGlobals {
            lines.append("  not taken over  and \(plan.skippedGlobals.count - shownGlobals) others, see --json")
        }
        lines += plan.mappedTablespaces.map {
            "  tablespace      what was in '\(onOneLine($0.source))' goes into '\(onOneLine($0.target))'"
        }
        lines.append(
            "  free space      "
                + (plan.targetFreeBytes.map { "\(formatBytes($0)) where the target keeps its data" }
                    ?? "not known on the target")
                + "; \(plan.spoolFreeBytes.map(formatBytes) ?? "none") for temporary files here"
                + (plan.spoolBytes > 0 ? ", of which \(formatBytes(plan.spoolBytes)) are needed for a time" : ""))
        lines.append(
            "  will take       "
                + (plan.estimatedSeconds.map {
                    "about \(DurationText.format(.seconds($0))), judged by the last restore"
                }
                    ?? "unknown: no restore of a whole backup of this cluster was recorded yet"))
        lines += plan.warnings.map { "  warning         \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    private static func describe(_ action: RestorePlan.Database.Action) -> String {
        switch action {
        case .create: "is created"
        case .replaceEmpty: "exists and is empty, is replaced"
        case .swap: "EXISTS AND HOLDS DATA: is replaced once the restored one is proved"
        case .addTables: "exists, the tables are added in one transaction"
        }
    }

    static func result(_ result: RestoreResult) -> String {
        var lines = result.databases.map { database in
            let what =
                database.isCompared
                ? "\(database.rows) rows in \(database.tables) tables, as many as were captured."
                : "its rows were not compared, as the backup does not list them."
            return "Restored '\(onOneLine(database.name))': \(what)"
                + (database.keptAs.map { " The database that had this name is kept as '\(onOneLine($0))'." } ?? "")
        }
        lines += result.warnings.filter { !result.plan.warnings.contains($0) }.map { "Warning: \(onOneLine($0))" }
        let phases = result.phases.map { "\($0.name) \(DurationText.format(.seconds($0.seconds)))" }
        lines.append("Took \(DurationText.format(.seconds(result.seconds))): \(phases.joined(separator: ", ")).")
        return lines.joined(separator: "\n")
    }

    static func filePlan(_ plan: DumpFileRestore.Plan) -> String {
        var lines = [
            "Plan: restore the file \(onOneLine(plan.file)) into a new database '\(onOneLine(plan.database))' on "
                + onOneLine(plan.target),
            "  format          \(plan.format.rawValue), \(name(of: plan.compression))",
            "  size            \(formatBytes(plan.bytes))",
        ]
        lines += plan.warnings.map { "  warning         \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    static func fileResult(_ plan: DumpFileRestore.Plan, seconds: Double) -> String {
        "Restored '\(onOneLine(plan.database))' from \(onOneLine(plan.file)) in \(DurationText.format(.seconds(seconds)))."
    }

    /// What a file is compressed with; its level is not known.
    private static func name(of compression: Compression) -> String {
        switch compression {
        case .none: "not compressed"
        case .gzip: "gzip"
        case .zstd: "zstd"
        }
    }
}
