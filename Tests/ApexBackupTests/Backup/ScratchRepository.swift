import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

/// A repository in a directory of its own, with a server registered, and what tests do with it.
///
/// Operations run on the threads that the program runs them on.
final class ScratchRepository: Sendable {
    let directory: TemporaryDirectory
    let server: PostgresCluster
    let repository: Repository
    private let recorded: RecordedEvents

    /// Makes the repository and registers `server`; `wrapped` may put something around its storage.
    init(
        for server: PostgresCluster, in directory: TemporaryDirectory? = nil, leaseExpiry: Duration = .seconds(60),
        wrapped: (any Storage) -> any Storage = { $0 }
    ) async throws {
        self.directory = try directory ?? TemporaryDirectory()
        self.server = server
        let recorded = RecordedEvents()
        self.recorded = recorded
        // Names of one second must sort in the order in which they are made.
        let chance = Atomic<UInt16>(0)
        let environment = BackupEnvironment(
            variables: ["PATH": PostgresCluster.searchPath],
            chance: { chance.wrappingAdd(1, ordering: .relaxed).newValue }, leaseExpiry: leaseExpiry,
            events: { recorded.add($0) })
        let storage = try RepositoryAddress(parsing: self.directory.path(of: "repository")).open(
            environment: environment, creating: true)
        guard let layout = RepositoryLayout(cluster: "apex") else { preconditionFailure("'apex' names a cluster") }
        _ = try await Initialization(
            storage: storage, layout: layout, environment: environment, connection: server.settings,
            recordsNewIncarnation: false, bin: server.tools.directory
        ).run()
        repository = try Repository.open(wrapped(storage), layout: layout, environment: environment)
    }

    /// The repository as it is, with another storage around what is stored.
    func wrapping(_ wrapped: (any Storage) -> any Storage) throws -> Repository {
        try Repository.open(
            wrapped(repository.storage), layout: repository.layout, environment: repository.environment)
    }

    /// The repository as it is, for which no time passes before `isOver` is true: no wait of limited length ends until then.
    func withoutTimePassing(until isOver: @escaping @Sendable () -> Bool) throws -> Repository {
        var environment = repository.environment
        let passing = environment.clocks.monotonic
        environment.clocks.monotonic = { isOver() ? passing() : .zero }
        return try Repository.open(repository.storage, layout: repository.layout, environment: environment)
    }

    var warnings: [String] {
        recorded.all.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    var notes: [String] {
        recorded.all.compactMap { if case .note(let text) = $0 { text } else { nil } }
    }

    /// Takes a backup of the databases; without globals unless asked for, as the roles of a shared server come and go.
    func backup(
        _ databases: String..., bin: String? = nil, as connection: ConnectionSettings? = nil,
        in repository: Repository? = nil, _ configure: (inout BackupPolicy.LogicalSettings) -> Void = { _ in }
    ) async throws -> BackupManifest {
        var settings = BackupPolicy.LogicalSettings()
        settings.databases = databases.isEmpty ? .all : .named(databases)
        settings.globals = false
        configure(&settings)
        let backup = LogicalBackup(
            repository: repository ?? self.repository, connection: connection ?? server.settings,
            request: LogicalBackup.Request(settings: settings, jobs: 2, bin: bin ?? server.tools.directory))
        return try await onOwnThreads { try await backup.run() }
    }

    func planRestore(
        to place: ConnectionSettings, in repository: Repository? = nil,
        _ configure: (inout RestoreRequest) -> Void = { _ in }
    ) async throws -> (restore: LogicalRestore, prepared: LogicalRestore.Prepared) {
        var request = RestoreRequest()
        request.bin = server.tools.directory
        request.spoolDirectory = directory.path
        configure(&request)
        let restore = try LogicalRestore(
            repository: repository ?? self.repository, request: request, url: place.redacted)
        return (restore, try await onOwnThreads { try await restore.prepare() })
    }

    @discardableResult
    func restore(
        to place: ConnectionSettings, _ configure: (inout RestoreRequest) -> Void = { _ in }
    ) async throws -> RestoreResult {
        let (restore, prepared) = try await planRestore(to: place, configure)
        return try await onOwnThreads {
            let result: Result<RestoreResult, any Error>
            do { result = .success(try await restore.run(prepared)) } catch { result = .failure(error) }
            await prepared.close()
            return try result.get()
        }
    }

    func verify(
        _ level: BackupVerification.Level, _ name: String? = nil
    ) async throws -> [BackupVerification.Report] {
        let verification = BackupVerification(repository: repository, level: level, bin: server.tools.directory)
        return try await onOwnThreads { try await verification.run(name).backups }
    }

    func entries() throws -> [CatalogueEntry] { try Catalogue(repository).entries() }
    func runs() throws -> [RunLog.Entry] { try RunLog(repository: repository).entries() }

    /// The content of an artefact.
    func content(_ name: String, of manifest: BackupManifest) throws -> [UInt8] {
        let sink = CollectingSink(limit: 64 << 20)
        guard let artefact = manifest.artefacts.first(where: { $0.name == name }) else { return [] }
        try StoredArtefact(artefact, of: manifest.id, in: repository).readContent(into: sink)
        return sink.bytes
    }

    /// The name of a stored file below the scratch directory.
    func file(_ name: String, of backup: RunID) -> String {
        "repository/\(repository.layout.backup(backup).text)/\(name)"
    }

    /// Stores a changed manifest, as whoever may write to the repository can.
    func rewrite(_ manifest: BackupManifest, _ change: (inout BackupManifest) throws -> Void) throws -> BackupManifest {
        var changed = manifest
        try change(&changed)
        let key = repository.layout.manifest(manifest.id)
        try repository.storage.remove(key)
        _ = try repository.put(changed, at: key)
        return changed
    }

    /// Stores other content for an artefact, with a manifest whose digests fit it.
    func replace(
        _ name: String, of manifest: BackupManifest, with content: [UInt8]
    ) throws -> BackupManifest {
        guard let index = manifest.artefacts.firstIndex(where: { $0.name == name }),
            let key = repository.layout.volume(name, of: manifest.id)
        else { return manifest }
        try repository.storage.remove(key)
        let old = manifest.artefacts[index]
        let artefact = try ArtefactWriter(
            name: name, role: old.role, compression: old.compression, of: manifest.id, in: repository
        ).write { sink throws(BackupError) in try sink.write(content.span) }
        return try rewrite(manifest) { $0.artefacts[index] = artefact }
    }
}

/// What operations have told.
final class RecordedEvents: Sendable {
    private let events = Mutex<[BackupEvent]>([])
    var all: [BackupEvent] { events.withLock { $0 } }
    func add(_ event: BackupEvent) { events.withLock { $0.append(event) } }
}

/// Runs `body` as the command line does.
@discardableResult
func onOwnThreads<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await Task(executorPreference: ThreadedExecutor.shared, operation: body).value
}

/// Runs a script and returns its exit status and what it wrote; `arguments` are its `$1`, `$2` and so on.
@discardableResult
func runScript(
    _ script: String, _ arguments: String..., environment: [String: String] = [:], directory: String? = nil
) async throws -> (status: ChildOutcome.Status, output: String, errors: String) {
    let variables = ["PATH": PostgresCluster.searchPath, "LC_ALL": "C.UTF-8"].merging(environment) { $1 }
    let command = ChildCommand(
        "/bin/sh", arguments: ["-c", script, "sh"] + arguments, environment: variables, workingDirectory: directory)
    let (outcome, output) = try await capture(command, limit: 4 << 20)
    return (outcome.status, output, outcome.standardErrorTail)
}

extension PostgresCluster {
    /// Runs `body` with a name that no database has, and drops every database whose name begins with it afterwards.
    func withUnusedName<Value>(_ body: (ConnectionSettings) async throws -> Value) async throws -> Value {
        let name = "restored_\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let result: Result<Value, any Error>
        do { result = .success(try await body(settings.with(database: name))) } catch { result = .failure(error) }
        let session = try await session()
        for database in try await session.query("SELECT datname FROM pg_database").rows.compactMap({ $0[0] })
        where database.hasPrefix(name) { try await dropDatabase(database) }
        await session.close()
        return try result.get()
    }

    /// The first value of the answer, in the database `postgres` unless `settings` name another.
    func firstValue(_ sql: String, in settings: ConnectionSettings? = nil) async throws -> String? {
        let session = try await session(settings)
        let value = try await session.query(sql).firstValue
        await session.close()
        return value
    }

    func databases() async throws -> Set<String> {
        let session = try await session()
        let names = try await session.query("SELECT datname FROM pg_database").rows.compactMap { $0[0] }
        await session.close()
        return Set(names)
    }

    /// Waits until the server has noticed that the sessions in the database are gone.
    func waitUntilUnused(_ database: ConnectionSettings) async throws -> Bool {
        try await eventually {
            try await firstValue(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = \(quoteLiteral(database.database ?? ""))") == "0"
        }
    }
}

/// The error with which `body` must fail.
func requireFailure<Value>(
    _ body: () async throws -> Value, sourceLocation: SourceLocation = #_sourceLocation
) async throws -> BackupError {
    let error = await #expect(throws: BackupError.self, sourceLocation: sourceLocation) { _ = try await body() }
    return try #require(error, sourceLocation: sourceLocation)
}

/// Runs `body` with a directory in which `repository` is a file system of its own, of so many megabytes.
func withSmallDisk(
    megabytes: Int, _ body: (TemporaryDirectory) async throws -> Void
) async throws {
    let disk = try TemporaryDirectory()
    let mounted = try await runScript(
        "mkdir \"$1/repository\" && mount -t tmpfs -o size=$2m tmpfs \"$1/repository\"", disk.path,
        "\(megabytes)")
    try #require(mounted.status == .exited(0), "\(mounted.errors)")
    let result: Result<Void, any Error>
    do { result = .success(try await body(disk)) } catch { result = .failure(error) }
    // Also while somebody still has a file of it open, as a child of another test has that is just being started.
    try await runScript("umount --lazy \"$1/repository\"", disk.path)
    try result.get()
}
