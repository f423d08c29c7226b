import ApexBackup
import BackupModel

extension Restore {
    /// Which kind of backup is meant for a server that takes something: physical ones have tables alone.
    func tableSource(
        moment: RestoreMoment?, settings: EffectivePolicy
    ) throws(BackupError) -> TableSourceChoice.Found {
        guard !table.isEmpty, !isFile else { return .dumps(remark: nil) }
        return try TableSourceChoice(
            repository: try settings.repository(),
            request: try physicalRequest(moment: moment, directory: "", settings: settings)
        ).find()
    }

    /// Brings tables back from a physical backup.
    func restoreTables(
        into url: String, moment: RestoreMoment?, because reason: String, settings: EffectivePolicy, console: Console
    ) async throws -> Int32 {
        try refuseOptionsBesideTables()
        try refuseExclusion(at: moment)
        let recovery = try TableRecovery(
            repository: try settings.repository(), settings: settings,
            request: TableRecovery.Request(
                recovery: try physicalRequest(moment: moment, directory: "", settings: settings), tables: table,
                database: database,
                compareTimeout: compareTimeout.flatMap { DurationText.parse($0) } ?? settings.policy.compareTimeout),
            url: url, reason: reason)
        guard !dryRun else {
            let plan = try await recovery.prepare().plan
            if console.isJSON { console.print(json: plan) } else { console.print(TableText.plan(plan)) }
            return 0
        }
        let result = try await recovery.run { plan in
            if !console.isJSON { Console.writeError(TableText.plan(plan)) }
        }
        console.hasDone(
            "Restored from \(result.plan.recovery.backup): tables into the schema '\(result.schema)' of "
                + "'\(onOneLine(result.plan.targetDatabase))'.")
        if console.isJSON { console.print(json: result) } else { console.print(TableText.result(result)) }
        return 0
    }

    private func refuseOptionsBesideTables() throws(BackupError) {
        let given: [(String, Bool)] = [
            ("--schema", !schema.isEmpty), ("--overwrite", overwrite), ("--confirm", !confirm.isEmpty),
            ("--disconnect", disconnect), ("--drop-old", dropOld), ("--tablespace", !tablespace.isEmpty),
            ("--tablespaces-into", tablespacesInto != nil), ("--delta", delta), ("--as-primary", asPrimary),
            ("--start", start), ("--target-action", targetAction != .promote),
        ]
        guard let wrong = given.first(where: \.1)?.0 else { return }
        throw BackupError(
            .usage, "\(wrong) does not go together with tables of a physical backup.",
            reason: "they come into a new schema of the live database, and nothing else is changed there",
            remedy: "Leave it out.", unchanged: "Nothing was restored.")
    }
}
