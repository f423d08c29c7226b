import ApexBackup
import BackupModel

/// What is said of tables that are brought back, as people read it.
enum TableText {
    static func plan(_ plan: TableRecoveryPlan) -> String {
        let recovery = plan.recovery
        let schema = plan.schema.map { "'\($0)'" } ?? "one that is called after the time of the last transaction"
        var lines = [
            "Plan: bring \(onOneLine(list(plan.tables))) back from physical backup \(recovery.backup) into "
                + "\(onOneLine(plan.target))",
            "  because         \(onOneLine(plan.reason))",
            "  recovery        to \(onOneLine(recovery.moment)); ends \(onOneLine(recovery.end)), on timeline "
                + "\(recovery.timeline)",
            "  WAL             \(recovery.segments) segments, \(recovery.firstSegment) to \(recovery.lastSegment)",
            "  on              a server of its own, PostgreSQL \(recovery.serverVersion), in "
                + "\(onOneLine(recovery.directory)), of which nothing stays",
            "  free space      \(formatBytes(recovery.freeBytes)) there, of which \(formatBytes(recovery.contentBytes)) "
                + "are needed, and room for the tables once more",
            "  from database   "
                + (plan.sourceDatabase.map { "'\(onOneLine($0))'" } ?? "of the target's name, or the only one"),
            "  into schema     \(schema) of '\(onOneLine(plan.targetDatabase))', PostgreSQL \(plan.targetVersion), in "
                + "one transaction; a number is added to a name that is taken",
            "  compared        "
                + (plan.compareSeconds > 0
                    ? "with the live tables, for \(DurationText.format(.seconds(plan.compareSeconds))) at most"
                    : "with nothing"),
            "  looked at then  whether the tables are there, and what they need of the target: before that is changed",
        ]
        lines += recovery.reasons.map { "  because         \(onOneLine($0))" }
        lines += plan.warnings.map { "  warning         \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    static func result(_ result: TableRecoveryResult) -> String {
        var table = TextTable(header: ["TABLE", "ROWS", "ADDED SINCE", "REMOVED SINCE", "CHANGED SINCE"])
        for entry in result.tables {
            let numbers =
                entry.difference.map { ["\($0.added)", "\($0.removed)", "\($0.changed)"] } ?? ["-", "-", "-"]
            table.rows.append([entry.name, "\(entry.rows)"] + numbers)
        }
        var lines = [
            "Restored into the schema '\(result.schema)' of '\(onOneLine(result.plan.targetDatabase))', as of "
                + "\(result.moment.readable):", table.text,
        ]
        for entry in result.tables { lines += remarks(of: entry).map { "\(onOneLine(entry.name)): \(onOneLine($0))" } }
        lines += result.leftOut.map { "Note: \(onOneLine($0))" }
        lines += result.warnings.filter { !result.plan.warnings.contains($0) }.map { "Warning: \(onOneLine($0))" }
        let statements = result.tables.compactMap(\.difference).filter { $0.added + $0.removed + $0.changed > 0 }
        if !statements.isEmpty { lines.append("These statements show the rows:") }
        lines += statements.map(\.statement)
        let unfinished = result.tables.compactMap(\.statement)
        if !unfinished.isEmpty { lines.append("These statements count what was not compared:") }
        lines += unfinished
        let phases = result.phases.map { "\($0.name) \(DurationText.format(.seconds($0.seconds)))" }
        lines.append("Took \(DurationText.format(.seconds(result.seconds))): \(phases.joined(separator: ", ")).")
        return lines.joined(separator: "\n")
    }

    private static func remarks(of entry: TableRecoveryResult.Table) -> [String] {
        if let reason = entry.noDifference { return ["not compared: \(reason)"] }
        guard let difference = entry.difference else { return [] }
        var remarks: [String] = []
        if !difference.onlyInLive.isEmpty {
            remarks.append("not compared, as only the live table has them: \(list(difference.onlyInLive))")
        }
        if !difference.onlyInRestored.isEmpty {
            remarks.append("not compared, as only the restored table has them: \(list(difference.onlyInRestored))")
        }
        if !difference.ofOtherType.isEmpty {
            remarks.append("compared as text, as their types differ: \(list(difference.ofOtherType))")
        }
        return remarks
    }

    private static func list(_ names: [String]) -> String { names.joined(separator: ", ") }
}
