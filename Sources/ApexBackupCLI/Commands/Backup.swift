import ApexBackup
import ArgumentParser
import BackupModel

struct Backup: OperatorCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take a backup.",
        discussion: """
            A logical backup dumps each database from one snapshot of it, and roles and tablespaces. It is committed \
            only when every child succeeded and every digest is right.

            EXAMPLE
              apex-backup backup --compression zstd --database apex

            EXIT STATUS
              0 committed   1 failed, nothing committed   64 wrong usage   78 wrong settings
            """)

    enum Kind: String, ExpressibleByArgument, Sendable { case logical, physical }

    @OptionGroup var common: CommonOptions

    @Option(help: "The kind of backup.")
    var kind = Kind.logical

    @Option(help: "Dump only this database; may be repeated.")
    var database: [String] = []

    @Option(help: "Do not dump this database; may be repeated.")
    var exclude: [String] = []

    @Option(help: "The dump format: custom or plain.")
    var format: String?

    @Option(help: "none, gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19.")
    var compression: String?

    @Option(help: "Read each dump with pg_restore while it is taken (full), or only its structure (list).")
    var verifyDump: String?

    @Option(help: "Count rows in the stream, or also on the server.")
    var counts: String?

    @Option(help: "How many databases are dumped at once, 1 to 16.")
    var jobs: Int?

    @Argument(help: "The server's connection URL; otherwise the policy's cluster.url or APEX_DATABASE_URL.")
    var url: String?

    func validate() throws {
        guard kind == .logical else {
            throw ValidationError("Physical backups are not supported by this version; take a logical one.")
        }
        if let jobs, !(1...16).contains(jobs) { throw ValidationError("--jobs takes 1 to 16.") }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console, url: url)
        let repository = try settings.repository()
        let manifest = try await take(settings, into: repository)
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
        guard console.isJSON else { return 0 }
        guard let entry = try Catalogue(repository).entry(manifest.id) else { return 1 }
        console.print(json: BackupListing(entry))
        return 0
    }

    private func take(_ settings: EffectivePolicy, into repository: Repository) async throws -> BackupManifest {
        do {
            let backup = LogicalBackup(
                repository: repository, connection: try settings.connection(),
                request: .init(
                    settings: try logicalSettings(over: settings.policy.logical), jobs: jobs ?? settings.policy.jobs,
                    bin: settings.policy.cluster.bin))
            return try await backup.run()
        } catch {
            throw RunLog.describe(error).leaving("No backup was taken.")
        }
    }

    private func pruneAfterwards(_ settings: EffectivePolicy, in repository: Repository) async throws -> String? {
        guard settings.policy.prunesAfterBackup else { return nil }
        let prune = RepositoryPrune(repository: repository, policy: settings.policy.retention, trustsClock: false)
        let (_, result) = try await prune.recorded()
        return "Removed \(result.removed.count) expired backups (\(formatBytes(result.bytes)))."
    }

    private func logicalSettings(over policy: BackupPolicy.LogicalSettings) throws -> BackupPolicy.LogicalSettings {
        var settings = policy
        if !database.isEmpty { settings.databases = .named(database) }
        settings.exclude += exclude
        if let format { settings.format = try choice(format, "--format") }
        if let verifyDump { settings.verifyDump = try choice(verifyDump, "--verify-dump") }
        if let counts { settings.counts = try choice(counts, "--counts") }
        if let compression {
            guard let value = Compression(parsing: compression) else {
                throw BackupError(
                    .usage, "--compression does not know '\(compression)'.",
                    remedy: "Use none, gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:19.",
                    unchanged: "No backup was taken.")
            }
            settings.compression = value
        }
        return settings
    }

    private func choice<Value: RawRepresentable & CaseIterable>(
        _ text: String, _ option: String
    ) throws -> Value where Value.RawValue == String {
        if let value = Value(rawValue: text) { return value }
        throw BackupError(
            .usage, "\(option) does not know '\(text)'.",
            remedy: "Use \(Value.allCases.map(\.rawValue).joined(separator: " or ")).",
            unchanged: "No backup was taken.")
    }
}
