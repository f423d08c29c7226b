import ApexBackup
import ArgumentParser
import BackupModel

struct Backup: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Take a backup.",
        discussion: """
            A logical backup dumps each database from one snapshot of it, and roles and tablespaces. It is committed \
            only when every child succeeded and every digest is right. A physical backup holds the cluster's files, \
            by a base backup, and the WAL that they need.

            EXAMPLE
              apex-backup backup --compression zstd --database apex
              apex-backup backup --kind physical

            EXIT STATUS
              0 committed   1 failed: nothing committed, or what was committed was not followed by the prune asked for
              4 committed, of a server with damaged pages   64 wrong usage   78 wrong settings
            """)

    enum Kind: String, ExpressibleByArgument, Sendable { case logical, physical }

    @OptionGroup var common: CommonOptions

    @Option(help: "The kind of backup.")
    var kind = Kind.logical

    @Option(help: "Dump only this database; may be repeated.")
    var database: [String] = []

    @Option(help: "Do not dump this database; may be repeated.")
    var exclude: [String] = []

    @Option(help: "The dump format.")
    var format: DumpFormat?

    @Option(help: "none, gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19.")
    var compression: Compression?

    @Option(help: "Read each dump with pg_restore while it is taken (full), or only its structure (list).")
    var verifyDump: BackupPolicy.LogicalSettings.DumpVerification?

    @Option(help: "Count rows in the stream, or also on the server.")
    var counts: BackupPolicy.LogicalSettings.RowCounts?

    @Option(help: "How many databases are dumped at once, 1 to \(BackupPolicy.possibleJobs.upperBound).")
    var jobs: Int?

    @Flag(help: "Store everything anew, whatever earlier physical backups hold; every backup does today.")
    var full = false

    @Argument(help: "The server's connection URL; otherwise the policy's cluster.url or APEX_DATABASE_URL.")
    var url: String?

    func validate() throws {
        let ofDumps: [(name: String, isGiven: Bool)] = [
            ("--database", !database.isEmpty), ("--exclude", !exclude.isEmpty), ("--format", format != nil),
            ("--verify-dump", verifyDump != nil), ("--counts", counts != nil),
        ]
        if kind == .physical, let option = ofDumps.first(where: \.isGiven) {
            throw ValidationError("\(option.name) is for logical backups; a physical one holds the whole cluster.")
        }
        if kind == .logical, full { throw ValidationError("--full is for physical backups; add --kind physical.") }
        if let jobs, !BackupPolicy.possibleJobs.contains(jobs) {
            throw ValidationError("--jobs takes 1 to \(BackupPolicy.possibleJobs.upperBound).")
        }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console, url: url)
        let repository = try settings.repository()
        let manifest = try await take(settings, into: repository)
        console.hasDone("Backup \(manifest.id) is committed.")
        if !console.isJSON { console.print(BackupText.summary(manifest)) }
        do {
            let pruned = try await pruneAfterwards(settings, in: repository)
            if let pruned, !console.isJSON { console.print(pruned) }
        } catch {
            var known = RunLog.describe(error)
            known.unchanged = ["Backup \(manifest.id) is committed.", known.unchanged].compactMap { $0 }
                .joined(separator: " ")
            throw known
        }
        if console.isJSON {
            console.print(
                json: BackupListing(CatalogueEntry(id: manifest.id, content: .committed(manifest), facts: [])))
        }
        return manifest.isOfDamagedSource ? 4 : 0
    }

    private func take(_ settings: EffectivePolicy, into repository: Repository) async throws -> BackupManifest {
        do {
            guard kind == .logical else {
                var physical = settings.policy.physical
                physical.compression = compression ?? physical.compression
                let backup = PhysicalBackup(
                    repository: repository, connection: try settings.connection(),
                    request: .init(
                        settings: physical, jobs: jobs ?? settings.policy.jobs, memory: settings.policy.memory,
                        heartbeat: settings.policy.objectives.heartbeat()))
                return try await backup.run()
            }
            let backup = LogicalBackup(
                repository: repository, connection: try settings.connection(),
                request: .init(
                    settings: logicalSettings(over: settings.policy.logical), jobs: jobs ?? settings.policy.jobs,
                    memory: settings.policy.memory, bin: settings.policy.cluster.bin))
            return try await backup.run()
        } catch {
            throw RunLog.describe(error).leaving("No backup was taken.")
        }
    }

    private func pruneAfterwards(_ settings: EffectivePolicy, in repository: Repository) async throws -> String? {
        guard settings.policy.prunesAfterBackup else { return nil }
        let prune = RepositoryPrune(
            repository: repository, policy: settings.policy.retention, window: settings.policy.retentionWindow,
            trustsClock: false)
        let (_, result) = try await prune.recorded()
        return "Removed \(result.removed.count) expired backups (\(formatBytes(result.bytes)))."
    }

    private func logicalSettings(over policy: BackupPolicy.LogicalSettings) -> BackupPolicy.LogicalSettings {
        var settings = policy
        if !database.isEmpty { settings.databases = .named(database) }
        settings.exclude += exclude
        settings.format = format ?? policy.format
        settings.verifyDump = verifyDump ?? policy.verifyDump
        settings.counts = counts ?? policy.counts
        settings.compression = compression ?? policy.compression
        return settings
    }
}
