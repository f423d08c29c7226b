import ApexBackup
import BackupModel

/// The collations of a restored cluster as people read them.
enum CollationText {
    /// What a plan says of them.
    static func plan(_ plan: PhysicalRestorePlan, isStarted: Bool) -> String {
        let known =
            plan.collations.map { "\(onOneLine($0.summary)) on the source" }
            ?? "the backup does not know those of the source"
        return "  collations      \(known); "
            + (isStarted
                ? "compared with the server's once it is started"
                : "after the start, what has to be rebuilt: psql -X -At -d DATABASE -f "
                    + "'\(onOneLine(plan.collationScript))', in each database")
    }

    /// What a started server's are, as far as there is something to say or to do.
    static func result(_ report: CollationReport?) -> [String] {
        guard let report, let summary = report.summary else { return [] }
        let (statements, further) = report.statements(most: mostStatements)
        var lines = [onOneLine(summary)]
        lines += statements.map { "  in \(onOneLine($0.database)): \(onOneLine($0.statement))" }
        if further > 0 { lines.append("  and \(further) more: --json has all of them") }
        return lines
    }

    private static let mostStatements = 20
}
