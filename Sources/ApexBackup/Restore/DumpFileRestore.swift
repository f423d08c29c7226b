package import BackupModel
import BackupStorage
import PostgresAccess

/// Restores a dump file that no repository knows, such as the ones that scripts wrote, into a new database.
///
/// There is no repository that could keep a record of the run.
package struct DumpFileRestore: Sendable {
    /// What is known of the file before anything is touched.
    package struct Plan: Sendable, Codable {
        package var file: String
        package var bytes: Int64
        package var compression: Compression
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
        let compression = try compression()
        let format = try format(compression)
        let target = try await TargetServer.open(connection, replacing: [database], clocks: environment.clocks)
        let names: [String]
        let tools: ClientTools
        do {
            names = try await target.databaseNames()
            tools = try await findTools(for: target, format)
            try await TargetSuitability(target: target).requireRight(toCreate: database)
            await target.close()
        } catch {
            await target.close()
            throw error
        }
        guard !names.contains(database) else { throw exists(database) }
        return Plan(
            file: path, bytes: try OpenFile(reading: path).size(), compression: compression, format: format,
            target: connection.redacted, database: database,
            warnings: [
                "the file has no manifest: row counts cannot be compared, and roles that it names must exist",
                "locale and encoding of the new database are the target's defaults",
                "this run is recorded in no repository",
            ] + (format == .plain ? Self.warnings(of: tools) : [])
                + WorkingName.warnings(among: names, of: [database]))
    }

    private static func warnings(of tools: ClientTools) -> [String] {
        let version = tools.tools["psql"] ?? ""
        guard !RestrictedScriptSink.isKnown(toPsql: version) else { return [] }
        return [
            "psql \(version) has no restricted mode: a script may run programs on this host, so restore only one that "
                + "you trust"
        ]
    }

    private func findTools(for target: TargetServer, _ format: DumpFormat) async throws -> ClientTools {
        let tools = try await ClientTools.find(
            forServer: target.facts.versionNumber, directory: bin, searchPath: environment.variables["PATH"] ?? "")
        if format == .custom {
            try TargetSuitability(target: target).requireKnownSettings(of: "pg_restore", major: tools.major)
        }
        return tools
    }

    private func exists(_ database: String) -> BackupError {
        BackupError(
            .targetNotEmpty, "The database '\(database)' exists on \(connection.redacted).",
            remedy: "Give another name; a dump file is restored into a new database.",
            unchanged: "Nothing was changed.")
    }

    /// Loads the file into a database of its own and gives it the name at the end; on failure it is dropped.
    ///
    /// Returns seconds.
    package func run(_ plan: Plan) async throws -> Double {
        let began = environment.clocks.monotonic()
        let target = try await TargetServer.open(connection, replacing: [plan.database], clocks: environment.clocks)
        do {
            let tools = try await findTools(for: target, plan.format)
            let working = WorkingName.make(for: plan.database, environment: environment)
            do {
                try await target.session.execute(
                    "CREATE DATABASE \(quoteIdentifier(working)) TEMPLATE template0")
                try await load(
                    plan, into: working,
                    with: DumpProgram(tools: tools, connection: connection, environment: environment))
                try await Analysis(target: target, jobs: jobs ?? HostFacts.processorCount).run(in: working)
                    .forEach(environment.warn)
                try await target.rename(working, to: plan.database)
            } catch {
                var error = RunLog.describe(error)
                error.unchanged = "\(await target.discard(working)) Nothing else was changed."
                throw error
            }
            await target.close()
        } catch {
            await target.close()
            throw error
        }
        return (environment.clocks.monotonic() - began).seconds
    }

    private func load(_ plan: Plan, into name: String, with program: DumpProgram) async throws {
        switch plan.format {
        case .custom:
            try await program.pgRestore(name, []) { sink throws(BackupError) in
                try readContent(plan.compression, into: sink)
            }
        case .plain:
            try await program.psql(name) { sink throws(BackupError) in
                try readContent(plan.compression, into: TeeSink(InspectingSink(DumpFileInspector(path: path)), sink))
            }
        }
    }

    private func compression() throws(BackupError) -> Compression {
        let head = try OpenFile(reading: path).read(at: 0, count: 8)
        if head.starts(with: [0x1F, 0x8B]) { return .gzip(level: 1) }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return .zstd(level: 1) }
        let others: [(magic: [UInt8], name: String, remedy: String)] = [
            (Array("BZh".utf8), "compressed with bzip2", "Unpack it with bunzip2 first."),
            ([0xFD] + Array("7zXZ".utf8), "compressed with xz", "Unpack it with unxz first."),
            ([0x04, 0x22, 0x4D, 0x18], "compressed with lz4", "Unpack it with lz4 first."),
            (Array("PK".utf8), "a zip archive", "Unpack it with unzip first."),
            (Array("toc.dat".utf8), "a dump in the tar format", "Restore it with pg_restore."),
        ]
        guard let other = others.first(where: { head.starts(with: $0.magic) }) else { return .none }
        throw BackupError(
            .usage, "'\(path)' is \(other.name), which is not read here.",
            reason: "plain SQL and the custom format are read, both also in gzip or zstd", remedy: other.remedy,
            unchanged: "Nothing was changed.")
    }

    /// Judges the file by its first megabyte.
    private func format(_ compression: Compression) throws(BackupError) -> DumpFormat {
        let start = PrefixSink(1 << 20)
        let decompressor = try makeDecompressor(compression, into: start)
        let file = try OpenFile(reading: path)
        let head = try file.read(at: 0, count: 1 << 20)
        do throws(BackupError) {
            try decompressor.write(head.span)
            try decompressor.finish()
        } catch {
            // The beginning of a larger file is cut off; the whole is checked when it is loaded.
        }
        if start.bytes.starts(with: Array("PGDMP".utf8)) { return .custom }
        try DumpFileInspector(path: path).inspect(start.bytes.span)
        return .plain
    }

    private func readContent(_ compression: Compression, into sink: any ByteSink) throws(BackupError) {
        let decompressor = try makeDecompressor(compression, into: sink)
        do throws(BackupError) {
            try OpenFile(reading: path).forEachChunk(ofSize: 256 << 10) { chunk throws(BackupError) in
                try Task.checkNotCancelled()
                try decompressor.write(chunk)
            }
            try decompressor.finish()
        } catch  where error.code == .objectDamaged {
            throw BackupError(
                error.code, "'\(path)' is damaged or was cut off.", reason: error.message,
                remedy: "Use another copy of the file, or another backup.")
        }
    }
}

/// Keeps the first bytes and drops the rest.
private final class PrefixSink: ByteSink {
    private(set) var bytes: [UInt8] = []
    private let limit: Int

    init(_ limit: Int) { self.limit = limit }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        for index in 0..<min(limit - self.bytes.count, bytes.count) { self.bytes.append(bytes[index]) }
    }

    func finish() throws(BackupError) {}
}

/// Demands of a script that it is the whole dump of one database, and of nothing else.
///
/// What is refused here was not handed to the server: a statement is known before its end.
private final class DumpFileInspector: StreamInspector {
    private var counter = PlainRowCounter()
    private var passed: Int64 = 0
    private let path: String

    init(path: String) { self.path = path }

    func inspect(_ bytes: Span<UInt8>) throws(BackupError) {
        for index in bytes.indices where bytes[index] == 0 {
            throw BackupError(
                .objectDamaged, "'\(path)' is damaged.",
                reason: "it holds a zero byte (number \(passed + Int64(index))), where psql would end the line unseen",
                remedy: "Use another copy of the file, or another backup.", unchanged: "Nothing was changed.")
        }
        passed += Int64(bytes.count)
        counter.consume(bytes)
        guard let statement = counter.serverWideStatement else { return }
        throw BackupError(
            .usage, "'\(path)' is not the dump of one database alone: it holds '\(statement)'.",
            reason: "that would act on other databases, on roles or on the server",
            remedy:
                "Of 'pg_dump --create', take the lines up to the last '\\connect' out; of 'pg_dumpall', take the part "
                + "of one database, or load the file with psql into a server of its own.",
            unchanged: "Nothing was changed.")
    }

    func finish() throws(BackupError) {
        do throws(BackupError) { _ = try counter.finish() } catch {
            throw BackupError(
                error.code, "'\(path)' does not hold a whole dump.", reason: error.reason,
                remedy: "Use another copy of the file, or another backup.")
        }
    }
}
