import ApexBackup
import BackupModel
import FoundationEssentials
import SystemPackage

extension Restore {
    /// Restores a physical backup.
    func restoreDirectory(
        _ path: String, moment: RestoreMoment?, settings: EffectivePolicy, console: Console
    ) async throws -> Int32 {
        try refuseOptionsOfDumps()
        try refuseExclusion(at: moment)
        var request = try physicalRequest(moment: moment, directory: try absolute(path), settings: settings)
        request.rewritesExisting = delta
        request.tablespaces = try tablespacePlaces()
        let restore = PhysicalRestore(repository: try settings.repository(), request: request)
        let prepared = try restore.prepare()
        let start = start ? try await RestoredStart.plan(prepared, by: restore, settings) : nil
        guard !dryRun else {
            if console.isJSON {
                console.print(json: prepared.plan)
            } else {
                console.print(DirectoryText.plan(prepared.plan, isStarted: start != nil))
            }
            return 0
        }
        if !console.isJSON { Console.writeError(DirectoryText.plan(prepared.plan, isStarted: start != nil)) }
        if prepared.plan.rewrite != nil { try confirmRewriting(prepared.plan.directory, console: console) }
        let started = try await start?.restore()
        let result = if let started { started.restored } else { try await restore.run(prepared) }
        console.hasDone("Restored from \(prepared.plan.backup): '\(onOneLine(prepared.plan.directory))'.")
        if console.isJSON {
            console.print(json: DirectoryDocument(result: result, started: started))
        } else {
            console.print(DirectoryText.result(result, started))
        }
        return 0
    }

    /// What of a restore of a physical backup is the same wherever it goes.
    func physicalRequest(
        moment: RestoreMoment?, directory: String, settings: EffectivePolicy
    ) throws(BackupError) -> PhysicalRestore.Request {
        var request = PhysicalRestore.Request(
            backup: backup, moment: moment, directory: directory, jobs: jobs ?? settings.policy.jobs,
            archive: stageWal ? nil : try WALCommands(settings), asPrimary: asPrimary)
        request.isInclusive = !exclusive
        request.timeline = timeline
        request.acceptsNearest = nearest
        request.action = targetAction
        return request
    }

    /// A directory that is rewritten must be named by the operator.
    private func confirmRewriting(_ directory: String, console: Console) throws(BackupError) {
        let named = try confirm.map { (text) throws(BackupError) in try absolute(text) }
        guard !named.contains(directory) else { return }
        let question = "This rewrites the cluster in \(onOneLine(directory)). Type its path to go on:"
        guard confirm.isEmpty, console.isTyped(directory, question: question) else {
            throw BackupError(
                .usage, "Rewriting the directory '\(directory)' was not confirmed.",
                remedy: "Type its path when asked, or add --confirm '\(directory)'.",
                unchanged: "Nothing in it was touched.")
        }
    }

    private func tablespacePlaces() throws(BackupError) -> TablespacePlaces {
        var places = TablespacePlaces()
        for text in tablespace {
            guard let split = text.firstRange(of: "=/"), split.lowerBound > text.startIndex else {
                throw BackupError(
                    .usage, "'\(text)' does not say where a tablespace goes.",
                    remedy: "Write OLD=/DIRECTORY, with the number of the tablespace or where it was.",
                    unchanged: "Nothing was restored.")
            }
            let place = FilePath(String(text[text.index(after: split.lowerBound)...])).lexicallyNormalized().string
            places.named[String(text[..<split.lowerBound])] = place
        }
        places.folder = try tablespacesInto.map(absolute)
        return places
    }

    private func refuseOptionsOfDumps() throws(BackupError) {
        let given: [(String, Bool)] = [
            ("a dump file", isFile), ("--table", !table.isEmpty), ("--schema", !schema.isEmpty),
            ("--database", database != nil), ("--overwrite", overwrite), ("--disconnect", disconnect),
            ("--drop-old", dropOld), ("--compare-timeout", compareTimeout != nil),
        ]
        guard let wrong = given.first(where: \.1)?.0 else { return }
        throw BackupError(
            .usage, "A directory does not go together with \(wrong).",
            reason: "a directory takes a whole cluster, from a physical backup",
            remedy: "Leave it out, or name a server: --to postgresql://…", unchanged: "Nothing was restored.")
    }

    /// A server that is to stop at a restore point, or at a backup's end, knows no "exclusive": it would be passed over.
    func refuseExclusion(at moment: RestoreMoment?) throws(BackupError) {
        switch moment {
        case .time, .position, .transaction: return
        case .restorePoint, .immediate, .latest, nil: guard exclusive else { return }
        }
        throw BackupError(
            .usage, "--exclusive goes with a time, a position or a transaction.",
            reason: "nothing is exactly at any other moment", remedy: "Leave it out.",
            unchanged: "Nothing was restored.")
    }

    /// The path as it is valid whatever the current directory is: the restored server's, for one.
    private func absolute(_ path: String) throws(BackupError) -> String {
        let given = FilePath(path)
        guard !given.isAbsolute else { return given.lexicallyNormalized().string }
        let here = FileManager.default.currentDirectoryPath
        guard !here.isEmpty else {
            throw BackupError(
                .usage, "The directory '\(path)' cannot be found.", reason: "the current directory is not known",
                remedy: "Give an absolute path.", unchanged: "Nothing was restored.")
        }
        return FilePath(here).appending(given.components).lexicallyNormalized().string
    }
}

/// Restores into directories as people read them.
enum DirectoryText {
    static func plan(_ plan: PhysicalRestorePlan, isStarted: Bool = false) -> String {
        var lines = [
            "Plan: restore backup \(plan.backup) into \(onOneLine(plan.directory))",
            "  server          PostgreSQL \(plan.serverVersion), \(plan.files) files",
            "  recovery        to \(onOneLine(plan.moment)); ends \(onOneLine(plan.end)), on timeline \(plan.timeline)",
            "  WAL             \(plan.segments) segments, \(plan.firstSegment) to \(plan.lastSegment), \(source(plan))",
            "  not recovered   \(plan.lost.map(onOneLine) ?? "nothing of what is stored")",
            "  free space      \(formatBytes(plan.freeBytes)), of which \(formatBytes(plan.contentBytes)) are needed\(plan.isStaged ? ", and room for the WAL" : "")",
        ]
        if let credentials = plan.credentials {
            lines.append("  credentials     the server gets them from \(onOneLine(credentials))")
        }
        if let needed = needed(plan) {
            lines.append(
                "  environment     \(needed) "
                    + (isStarted ? "are given to the server" : "must be in that of the server until it has recovered"))
        }
        lines.append(CollationText.plan(plan, isStarted: isStarted))
        if isStarted {
            lines.append("  then            its server is started, on a socket only, and its recovery proved")
        }
        if let rewrite = plan.rewrite {
            lines.append(
                "  IN PLACE        \(rewrite.compared) files (\(formatBytes(rewrite.existingBytes))) are there and are "
                    + "written where they differ; \(rewrite.missing) are missing; \(rewrite.removed) that the backup does "
                    + "not have ARE REMOVED")
        }
        lines += plan.tablespaces.sorted { $0.key < $1.key }.map {
            "  tablespace      \($0.key) in \(onOneLine($0.value))"
        }
        lines += plan.reasons.map { "  because         \(onOneLine($0))" }
        lines += plan.warnings.map { "  warning         \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    /// The variables that the server needs, in words; `nil` for none.
    private static func needed(_ plan: PhysicalRestorePlan) -> String? {
        plan.neededVariables.isEmpty ? nil : plan.neededVariables.map(onOneLine).joined(separator: ", ")
    }

    private static func source(_ plan: PhysicalRestorePlan) -> String {
        plan.isStaged ? "put beside the data" : "which the server gets by 'apex-backup wal get'"
    }

    static func result(_ result: PhysicalRestore.Result, _ started: StartedServer?) -> String {
        let plan = result.plan
        let rewritten =
            plan.rewrite == nil
            ? "" : " (\(formatBytes(result.writtenBytes)) written, \(formatBytes(result.keptBytes)) kept)"
        let restored = """
            Restored backup \(plan.backup) into \(onOneLine(plan.directory)): \(plan.files) files, \
            \(formatBytes(plan.contentBytes))\(rewritten).\(plan.isPrimary ? "" : " It archives nowhere.")
            """
        let directory = onOneLine(plan.directory)
        guard let started else {
            return restored + """

                Start it with PostgreSQL \(plan.serverVersion.prefix { $0 != "." })'s own program, as the directory's \
                owner\(needed(plan).map { ", with \($0) in the environment" } ?? ""): \
                pg_ctl -D '\(directory)' start
                """
        }
        let recovery = started.recovery
        let last = recovery.lastTransactionAt.map { "; the last transaction in it ended at \($0.readable)" } ?? ""
        let times =
            "replay \(DurationText.format(.seconds(recovery.replaySeconds)))"
            + (recovery.promoteSeconds.map { ", promotion \(DurationText.format(.seconds($0)))" } ?? "")
        let state =
            switch recovery.state {
            case .promoted: "is ready, on timeline \(recovery.timeline)"
            case .paused: "waits at its target and can be read, on timeline \(recovery.timeline)"
            case .shutDown: "was shut down at its target, on timeline \(recovery.timeline)"
            }
        var lines = [restored, "Recovered up to \(recovery.replayedLSN)\(last) (\(times)). The server \(state)."]
        if let server = started.server {
            lines += [
                "Connect as the directory's owner: psql '\(onOneLine(server.url))'",
                "It goes on as process \(server.pid), listens on that socket only, and logs to \(onOneLine(server.log)).",
                "End it with: pg_ctl -D '\(directory)' stop",
            ]
        }
        lines += CollationText.result(recovery.collations)
        return lines.joined(separator: "\n")
    }
}

/// A restore into a directory as JSON: its plan, what was written, and what was started.
private struct DirectoryDocument: Encodable {
    var result: PhysicalRestore.Result
    var started: StartedServer?

    private enum CodingKeys: String, CodingKey { case writtenBytes, keptBytes, keptWAL }

    func encode(to encoder: any Encoder) throws {
        try result.plan.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(result.writtenBytes, forKey: .writtenBytes)
        try container.encode(result.keptBytes, forKey: .keptBytes)
        try container.encodeIfPresent(result.keptWAL, forKey: .keptWAL)
        try started?.encode(to: encoder)
    }
}
