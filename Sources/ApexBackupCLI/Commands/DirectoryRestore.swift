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
        var request = PhysicalRestore.Request(
            backup: backup, moment: moment, directory: try absolute(path), jobs: jobs ?? settings.policy.jobs,
            archive: stageWal ? nil : try WALCommands(settings), asPrimary: asPrimary)
        request.isInclusive = !exclusive
        request.timeline = timeline
        request.acceptsNearest = nearest
        request.action = targetAction
        request.tablespaces = try tablespacePlaces()
        let restore = PhysicalRestore(repository: try settings.repository(), request: request)
        let prepared = try restore.prepare()
        guard !dryRun else {
            if console.isJSON {
                console.print(json: prepared.plan)
            } else {
                console.print(DirectoryText.plan(prepared.plan))
            }
            return 0
        }
        if !console.isJSON { Console.writeError(DirectoryText.plan(prepared.plan)) }
        try await restore.run(prepared)
        console.hasDone("Restored from \(prepared.plan.backup): '\(onOneLine(prepared.plan.directory))'.")
        if console.isJSON {
            console.print(json: prepared.plan)
        } else {
            console.print(DirectoryText.result(prepared.plan))
        }
        return 0
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
            ("--drop-old", dropOld),
        ]
        guard let wrong = given.first(where: \.1)?.0 else { return }
        throw BackupError(
            .usage, "A directory does not go together with \(wrong).",
            reason: "a directory takes a whole cluster, from a physical backup",
            remedy: "Leave it out, or name a server: --to postgresql://…", unchanged: "Nothing was restored.")
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
    static func plan(_ plan: PhysicalRestorePlan) -> String {
        var lines = [
            "Plan: restore backup \(plan.backup) into \(onOneLine(plan.directory))",
            "  server          PostgreSQL \(plan.serverVersion), \(plan.files) files",
            "  recovery        to \(onOneLine(plan.moment)); ends \(onOneLine(plan.end)), on timeline \(plan.timeline)",
            "  WAL             \(plan.segments) segments, \(plan.firstSegment) to \(plan.lastSegment), \(source(plan))",
            "  not recovered   \(plan.lost.map(onOneLine) ?? "nothing of what is stored")",
            "  free space      \(formatBytes(plan.freeBytes)), of which \(formatBytes(plan.contentBytes)) are needed\(plan.isStaged ? ", and room for the WAL" : "")",
        ]
        lines += plan.tablespaces.sorted { $0.key < $1.key }.map {
            "  tablespace      \($0.key) in \(onOneLine($0.value))"
        }
        lines += plan.reasons.map { "  because         \(onOneLine($0))" }
        lines += plan.warnings.map { "  warning         \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    private static func source(_ plan: PhysicalRestorePlan) -> String {
        plan.isStaged ? "put beside the data" : "which the server gets by 'apex-backup wal get'"
    }

    static func result(_ plan: PhysicalRestorePlan) -> String {
        """
        Restored backup \(plan.backup) into \(onOneLine(plan.directory)): \(plan.files) files, \
        \(formatBytes(plan.contentBytes)).\(plan.isPrimary ? "" : " It archives nowhere.")
        Start it with PostgreSQL \(plan.serverVersion.prefix { $0 != "." })'s own program, as the directory's owner: \
        pg_ctl -D '\(onOneLine(plan.directory))' start
        """
    }
}
