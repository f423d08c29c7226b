import ApexBackup
import ArgumentParser
import BackupModel

struct Restore: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Restore a backup, or a dump file: plan first, then act.",
        discussion: """
            --to takes a moment (latest, immediate, a time with offset, an LSN, name:RESTORE-POINT, xid:NUMBER), a place (postgresql://…, a directory), or both in turn. A \
            URL with a database's name restores one database into that name; without one, all, each under its own name. \
            A URL chooses among logical backups, a directory among physical ones: 'pg_ctl -D DIRECTORY start' then \
            starts what was restored, or --start does and proves that it recovered. With --table, a moment and a URL, \
            the moment is recovered on a server of its own, and only these tables come into the live database, in a new \
            schema, with what has changed since. The plan is printed first; nothing is touched before it is complete.

            EXAMPLE
              apex-backup restore --to postgresql://restore@db.example.com/apex_check
              apex-backup restore apex_full_20250127.sql.gz --to postgresql:///apex_old
              apex-backup restore --to immediate --to /srv/apex-check
              apex-backup restore --to 2025-01-27T14:30:00Z --to /srv/apex-check --start
              apex-backup restore --delta --to latest --to /srv/db --confirm /srv/db
              apex-backup restore --table public.orders --to latest --to postgresql:///apex

            EXIT STATUS
              0 restored   1 failed or refused   3 a scratch server could not be removed
              64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(name: .customLong("to"), help: "A moment or a place; may be given twice.")
    var targets: [String] = []

    @Option(help: "The moment, as --to takes it.")
    var at: String?

    @Option(help: "The place: a connection URL or a directory.")
    var into: String?

    @Flag(help: "Print the plan and stop.")
    var dryRun = false

    @Flag(help: "Take the nearest moment that can be reached: of dumps, the newest one before it.")
    var nearest = false

    @Option(help: "The database of the backup to restore, or that has the tables.")
    var database: String?

    @Option(help: "Only this table, schema.table; may be repeated.")
    var table: [String] = []

    @Option(
        help: ArgumentHelp(
            "Of tables of a moment: the longest time that they are compared with the live ones, for example 10m; 0s for no "
                + "comparison; restore.compare_timeout of the policy unless given."))
    var compareTimeout: String?

    @Option(help: "Only this schema; may be repeated.")
    var schema: [String] = []

    @Flag(help: "Replace a database that is not empty; the old one is kept under a dated name.")
    var overwrite = false

    @Option(
        help: ArgumentHelp(
            "The name of a database to be replaced, or of a directory to be rewritten, typed here when nobody can be "
                + "asked; may be repeated."))
    var confirm: [String] = []

    @Flag(help: "End the sessions in a database that is replaced.")
    var disconnect = false

    @Flag(help: "Drop a replaced database instead of keeping it.")
    var dropOld = false

    @Option(
        help: ArgumentHelp(
            "Of dumps, the tablespace of the target that everything goes into; of a directory, OLD=/DIRECTORY for a "
                + "tablespace that is named by its number or by where it was, may be repeated."))
    var tablespace: [String] = []

    @Option(help: "Of a directory: where every other tablespace gets a directory named by its number.")
    var tablespacesInto: String?

    @Flag(help: "Rewrite the directory of a stopped server of the same cluster: only what differs is written.")
    var delta = false

    @Flag(help: "The restored directory is the new primary: it archives and runs what its source did.")
    var asPrimary = false

    @Flag(
        help: ArgumentHelp(
            "Start the server on the restored directory, wait until it has recovered, and prove that; it goes on "
                + "afterwards, on a socket only, and archives nowhere."))
    var start = false

    @Flag(help: "Leave out what is exactly at the moment: a transaction, a position, a time.")
    var exclusive = false

    @Option(help: "The timeline to follow; the newest that a backup was taken on unless given.")
    var timeline: UInt32?

    @Option(help: "What the server does at the moment: promote, pause or shutdown.")
    var targetAction = RecoverySettings.Action.promote

    @Flag(help: "Put the WAL that a directory needs beside its data, for servers that cannot run this program.")
    var stageWal = false

    @Option(help: "Parallel jobs of pg_restore, or workers that write files.")
    var jobs: Int?

    @Argument(help: "The backup's name, latest, or a dump file (.sql, .sql.gz, .sql.zst, .dump).")
    var backup = "latest"

    func validate() throws {
        if let jobs, !(1...64).contains(jobs) { throw ValidationError("--jobs takes 1 to 64.") }
        if let compareTimeout, DurationText.parse(compareTimeout) == nil {
            throw ValidationError("--compare-timeout takes a duration such as 10m, or 0s.")
        }
    }

    func execute(on console: Console) async throws -> Int32 {
        let named = try RestoreTarget.combine(targets + [at, into].compactMap { $0 })
        let settings = try common.settings(console)
        if isFile { try refuseOptionsOfBackups(moment: named.moment) }
        let url: String
        var remark: String?
        switch try place(named.place, settings: settings) {
        case .url(let text):
            switch try tableSource(moment: named.moment, settings: settings) {
            case .cluster(let reason):
                return try await restoreTables(
                    into: text, moment: named.moment, because: reason, settings: settings, console: console)
            case .dumps(let words): remark = words
            }
            try refuseOptionsOfDirectories()
            url = text
        case .directory(let path):
            return try await restoreDirectory(path, moment: named.moment, settings: settings, console: console)
        }
        if isFile { return try await restoreFile(into: url, settings: settings, console: console) }
        var request = try request(moment: named.moment, settings: settings)
        request.remark = remark
        let restore = try LogicalRestore(repository: try settings.repository(), request: request, url: url)
        guard !dryRun else {
            let prepared = try await restore.prepare()
            await prepared.close()
            if console.isJSON {
                console.print(json: prepared.plan)
            } else {
                console.print(RestoreText.plan(prepared.plan))
            }
            return 0
        }
        let result = try await restore.run { plan in
            if !console.isJSON { Console.writeError(RestoreText.plan(plan)) }
            try confirmReplacement(in: plan, console: console)
        }
        let names = result.databases.map { "'\($0.name)'" }.joined(separator: ", ")
        console.hasDone("Restored from \(result.plan.backup): \(names).")
        if console.isJSON { console.print(json: result) } else { console.print(RestoreText.result(result)) }
        return 0
    }

    var isFile: Bool {
        backup != "latest" && RunID(parsing: backup) == nil
            && (backup.contains("/") || backup.contains(".sql") || backup.hasSuffix(".dump"))
    }

    /// A file is one database, restored whole into a new one.
    private func refuseOptionsOfBackups(moment: RestoreMoment?) throws {
        let given: [(String, Bool)] = [
            ("--table", !table.isEmpty), ("--schema", !schema.isEmpty), ("--database", database != nil),
            ("--overwrite", overwrite), ("--disconnect", disconnect), ("--drop-old", dropOld), ("--nearest", nearest),
            ("--tablespace", !tablespace.isEmpty), ("--as-primary", asPrimary), ("--start", start),
            ("a moment", moment != nil),
        ]
        let wrong = given.filter(\.1).map(\.0)
        guard wrong.isEmpty else {
            throw BackupError(
                .usage, "A dump file does not go together with \(wrong.joined(separator: ", ")).",
                reason: "it is restored whole, into a new database",
                remedy: "Leave it out, or name a backup of the repository.", unchanged: "Nothing was changed.")
        }
    }

    private func restoreFile(
        into url: String, settings: EffectivePolicy, console: Console
    ) async throws -> Int32 {
        let restore = try DumpFileRestore(
            path: backup, url: url, environment: settings.environment, jobs: jobs,
            bin: settings.policy.cluster.bin)
        let plan = try await restore.plan()
        if dryRun {
            if console.isJSON { console.print(json: plan) } else { console.print(RestoreText.filePlan(plan)) }
            return 0
        }
        if !console.isJSON { Console.writeError(RestoreText.filePlan(plan)) }
        let seconds = try await restore.run(plan)
        console.hasDone("Restored from \(plan.file): '\(plan.database)'.")
        if console.isJSON {
            console.print(json: FileRestoreDocument(plan: plan, seconds: seconds))
        } else {
            console.print(RestoreText.fileResult(plan, seconds: seconds))
        }
        return 0
    }

    private func refuseOptionsOfDirectories() throws(BackupError) {
        let given = [
            ("--as-primary", asPrimary), ("--start", start), ("--delta", delta), ("--stage-wal", stageWal),
            ("--exclusive", exclusive),
            ("--timeline", timeline != nil), ("--target-action", targetAction != .promote),
            ("--tablespaces-into", tablespacesInto != nil), ("a second --tablespace", tablespace.count > 1),
            ("--compare-timeout", compareTimeout != nil),
        ]
        guard let wrong = given.first(where: \.1)?.0 else { return }
        throw BackupError(
            .usage, "\(wrong) does not go together with a server that takes dumps.",
            reason: "it is for restores from a physical backup",
            remedy: "Leave it out, or name a directory: --to /srv/restored.", unchanged: "Nothing was restored.")
    }

    private func place(_ named: RestorePlace?, settings: EffectivePolicy) throws -> RestorePlace {
        if let named { return named }
        guard let place = try settings.restorePlace() else {
            throw BackupError(
                .usage, "It is not known where to restore to.",
                reason: "--to names no place, and restore.into is not set in the policy",
                remedy: "Add --to postgresql://user@host/database.", unchanged: "Nothing was changed.")
        }
        return place
    }

    private func request(moment: RestoreMoment?, settings: EffectivePolicy) throws -> RestoreRequest {
        var request = RestoreRequest()
        request.backup = backup
        request.moment = moment
        request.acceptsNearest = nearest
        request.database = database
        request.tables = table
        request.schemas = schema
        request.overwrites = overwrite
        request.disconnects = disconnect
        request.dropsOld = dropOld
        request.tablespace = tablespace.first
        request.jobs = jobs ?? settings.policy.jobs
        request.bin = settings.policy.cluster.bin
        if let directory = settings.environment.variables["TMPDIR"], !directory.isEmpty {
            request.spoolDirectory = directory
        }
        return request
    }

    /// Every database that is replaced must be named by the operator.
    private func confirmReplacement(in plan: RestorePlan, console: Console) throws {
        for database in plan.databases where database.action == .swap && !confirm.contains(database.target) {
            let question =
                "This replaces the database '\(onOneLine(database.target))' on \(onOneLine(plan.target)). Type its name to "
                + "go on:"
            guard confirm.isEmpty, console.isTyped(database.target, question: question) else {
                throw BackupError(
                    .usage, "Replacing the database '\(database.target)' was not confirmed.",
                    remedy: "Type its name when asked, or add --confirm '\(database.target)'.",
                    unchanged: "Nothing was changed.")
            }
        }
    }
}

/// How the restore of a dump file looks as JSON.
private struct FileRestoreDocument: Encodable {
    var plan: DumpFileRestore.Plan
    var seconds: Double
}

extension RecoverySettings.Action: ExpressibleByArgument {}
