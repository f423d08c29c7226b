package import BackupModel
import BackupStorage
import PostgresAccess

/// Restores a dump file that no repository knows, such as the ones that scripts wrote, into a new database.
package struct DumpFileRestore: Sendable {
    /// What is known of the file before anything is touched.
    package struct Plan: Sendable, Codable {
        package var file: String
        package var bytes: Int64
        package var compression: String
        package var format: DumpFormat
        package var target: String
        package var database: String
        package var warnings: [String]
    }

    let path: String
    let connection: ConnectionSettings
    let environment: BackupEnvironment
    let jobs: Int?
    let bin: String?

    package init(
        path: String, url: String, environment: BackupEnvironment, jobs: Int?, bin: String?
    ) throws(BackupError) {
        self.path = path
        connection = try ConnectionSettings(parsing: url)
        self.environment = environment
        self.jobs = jobs
        self.bin = bin
    }

    /// Looks at the file's first bytes and at the target.
    package func plan() async throws -> Plan {
        guard let database = connection.database else {
            throw BackupError(
                .usage, "A dump file holds one database, and the URL names none.",
                remedy: "Add the name it shall have: postgresql://host/NAME.", unchanged: "Nothing was changed.")
        }
        let head = try OpenFile(reading: path).read(at: 0, count: 512)
        let compression: Compression =
            head.starts(with: [0x1F, 0x8B])
            ? .gzip(level: 1) : head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) ? .zstd(level: 1) : .none
        let start = CollectingSink(limit: 64 << 10)
        try readContent(compression, into: PrefixSink(5, into: start), untilEnd: false)
        let format: DumpFormat = start.bytes.starts(with: Array("PGDMP".utf8)) ? .custom : .plain
        let target = try await TargetServer.open(connection, replacing: [database])
        do {
            let exists = try await target.databaseExists(database)
            await target.close()
            guard !exists else {
                throw BackupError(
                    .targetNotEmpty, "The database '\(database)' exists on \(connection.redacted).",
                    remedy: "Give another name; a dump file is restored into a new database.",
                    unchanged: "Nothing was changed.")
            }
        } catch {
            await target.close()
            throw error
        }
        return Plan(
            file: path, bytes: try OpenFile(reading: path).size(),
            compression: compression == .none ? "not compressed" : compression.description, format: format,
            target: connection.redacted, database: database,
            warnings: [
                "the file has no manifest: row counts cannot be compared, and roles that it names must exist",
                "locale and encoding of the new database are the target's defaults",
            ])
    }

    /// Creates the database, loads the file and proves it whole; on failure the database is dropped.
    ///
    /// Returns seconds.
    package func run(_ plan: Plan) async throws -> Double {
        let began = environment.clocks.monotonic()
        let target = try await TargetServer.open(connection, replacing: [plan.database])
        do {
            let tools = try await ClientTools.find(
                forServer: target.facts.versionNumber, directory: bin, searchPath: environment.variables["PATH"] ?? "")
            try await target.session.execute(
                "CREATE DATABASE \(quoteIdentifier(plan.database)) TEMPLATE template0")
            do {
                try await load(plan, with: DumpProgram(tools: tools, connection: connection, environment: environment))
            } catch {
                try await target.drop(plan.database)
                throw RunLog.describe(error).leaving("The new database was dropped; nothing else was changed.")
            }
            await target.close()
        } catch {
            await target.close()
            throw error
        }
        return (environment.clocks.monotonic() - began).seconds
    }

    private func load(_ plan: Plan, with program: DumpProgram) async throws {
        let compression: Compression = Compression(parsing: plan.compression) ?? .none
        switch plan.format {
        case .custom:
            try await program.pgRestore(plan.database, []) { sink throws(BackupError) in
                try readContent(compression, into: sink, untilEnd: true)
            }
        case .plain:
            try await program.psql(plan.database) { sink throws(BackupError) in
                try readContent(compression, into: TeeSink(InspectingSink(RowInspector(.plain)), sink), untilEnd: true)
            }
        }
        try await program.analyze(plan.database, jobs: max(1, jobs ?? HostFacts.processorCount))
    }

    /// Streams the file's content; without `untilEnd`, only as far as the sink wants.
    private func readContent(_ compression: Compression, into sink: any ByteSink, untilEnd: Bool) throws(BackupError) {
        let decompressor = try makeDecompressor(compression, into: sink)
        do {
            try OpenFile(reading: path).forEachChunk(ofSize: 256 << 10) { chunk throws(BackupError) in
                try decompressor.write(chunk)
                if let prefix = sink as? PrefixSink, prefix.isFull { throw PrefixSink.enough }
            }
            try decompressor.finish()
        } catch  where !untilEnd && error == PrefixSink.enough {
            return
        }
    }
}

/// Passes the first bytes on and drops the rest.
private final class PrefixSink: ByteSink {
    static let enough = BackupError(.storageFailed, "enough was read", remedy: "")

    private let next: any ByteSink
    private var missing: Int

    init(_ count: Int, into next: any ByteSink) {
        missing = count
        self.next = next
    }

    var isFull: Bool { missing == 0 }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        let taken = min(missing, bytes.count)
        missing -= taken
        if taken > 0 { try next.write(bytes.extracting(0..<taken)) }
    }

    func finish() throws(BackupError) { try next.finish() }
}
