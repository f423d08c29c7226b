package import BackupModel
import BackupStorage
import PostgresAccess

/// Reads a backup back and compares it with what its manifest says.
package struct BackupVerification: Sendable {
    /// How much is read.
    package enum Level: String, Sendable, CaseIterable, Codable {
        /// Every object is there and has its size.
        case list
        /// The stored bytes and their content have the digests of the manifest.
        case checksum
        /// As `checksum`, and PostgreSQL's own programs read all data of every dump.
        case deep
    }

    /// What was found of one backup.
    package struct Report: Sendable, Codable {
        package var id: RunID
        package var level: Level
        package var problems: [BackupError]
        package var objects: Int
        package var bytes: Int64
        package var seconds: Double
        package var succeeded: Bool { problems.isEmpty }
        /// Whether a problem says something of the backup: what could not be read proves nothing.
        package var isDamaged: Bool { problems.contains { $0.code.isDamage } }

        private enum CodingKeys: String, CodingKey { case id, level, problems, objects, bytes, seconds }
    }

    /// What a run found.
    package struct Outcome: Sendable {
        package var backups: [Report]
        /// Of the index of the WAL, when all backups were verified.
        package var indexes: [WALIndexVerification.Report] = []

        package var succeeded: Bool { backups.allSatisfy(\.succeeded) && indexes.allSatisfy(\.succeeded) }
    }

    let repository: Repository
    let level: Level
    /// A directory with PostgreSQL's programs, for `deep`.
    let bin: String?

    package init(repository: Repository, level: Level, bin: String?) {
        self.repository = repository
        self.level = level
        self.bin = bin
    }

    /// Verifies the backup of that name, or all and the index of the WAL, as a recorded run.
    package func run(_ name: String?) async throws -> Outcome {
        return try await RunLog(repository: repository).recorded(
            .verify, settings: level.rawValue, duty: .bestEffort, judge: Self.end
        ) { run in
            let catalogue = Catalogue(repository)
            let entries = try name.map { [try catalogue.backup(named: $0)] } ?? catalogue.entries()
            var reports: [Report] = []
            var tools: [Int: ClientTools] = [:]
            for entry in entries {
                switch entry.content {
                case .committed where !entry.isTombstoned, .unreadable:
                    reports.append(try await verify(entry, run: run, &tools))
                default: continue
                }
            }
            guard name == nil else { return Outcome(backups: reports) }
            return Outcome(
                backups: reports, indexes: try WALIndexVerification(repository: repository, level: level).run(entries))
        }
    }

    private static func end(of outcome: Outcome) -> (RunEnd.Result, BackupError?) {
        let problems = outcome.backups.flatMap(\.problems) + outcome.indexes.flatMap(\.problems)
        guard let problem = problems.first else { return (.succeeded, nil) }
        return (.failed, problem)
    }

    /// Verifies one backup and records what it found as a fact, also when that is bad.
    private func verify(
        _ entry: CatalogueEntry, run: RunID, _ tools: inout [Int: ClientTools]
    ) async throws -> Report {
        let clocks = repository.environment.clocks
        let start = clocks.monotonic()
        var report = Report(id: entry.id, level: level, problems: [], objects: 0, bytes: 0, seconds: 0)
        switch entry.content {
        case .committed(let manifest): try await inspect(manifest, &report, &tools)
        case .unreadable(let error): report.problems.append(error)
        case .running, .aborted: return report
        }
        report.seconds = (clocks.monotonic() - start).seconds
        let finding = report.problems.first { $0.code.isDamage }
        let isProved = report.succeeded
        // A damaged fact says nothing of what was captured.
        if let damaged = entry.unreadableFact { report.problems.append(damaged) }
        guard case .committed = entry.content, isProved || finding != nil else { return report }
        let fact = BackupFact(
            kind: .verified, at: clocks.wall(), run: run, succeeded: isProved, level: level.rawValue,
            reason: finding?.message, seconds: report.seconds)
        do {
            try repository.record(fact, of: entry.id)
        } catch {
            repository.environment.warn("The result could not be recorded in the repository: \(error.message)")
        }
        return report
    }

    private func inspect(
        _ manifest: BackupManifest, _ report: inout Report, _ tools: inout [Int: ClientTools]
    ) async throws {
        let artefacts: [Artefact]
        let databases: [DatabaseRecord]
        do {
            (databases, artefacts) = try Catalogue(repository).databases(of: manifest)
        } catch {
            guard error.code.isDamage else { throw error }
            report.problems.append(error)
            return
        }
        var reader: ClientTools?
        if level == .deep, databases.contains(where: { $0.format == .custom }) {
            reader = try await self.reader(of: manifest, &tools)
        }
        for artefact in artefacts {
            try Task.checkNotCancelled()
            repository.environment.events(
                .progress(subject: artefact.name, bytes: report.bytes, of: manifest.totals.storedBytes))
            do {
                let database = databases.first { $0.artefact == artefact.name }
                try await check(artefact, of: manifest, database: database, reader)
            } catch var error as BackupError where Self.isProblem(error.code) {
                if !error.message.contains(artefact.name) { error.message = "'\(artefact.name)': \(error.message)" }
                report.problems.append(error)
            }
            report.objects += artefact.volumes.count
            report.bytes += artefact.storedBytes
        }
        if manifest.kind == .physical {
            var files = try PhysicalVerification(manifest, level: level, in: repository)
            try files.run()
            report.problems += files.problems
            report.objects += files.objects
            report.bytes += files.bytes
        }
    }

    /// What keeps one object from being read is told, and proves nothing; the rest is verified all the same.
    static func isProblem(_ code: ErrorCode) -> Bool {
        code.isDamage || code == .permissionDenied || code == .storageFailed
    }

    /// The programs that read the backup's dumps: no older than the pg_dump that wrote them, as each version may write
    /// archives that earlier ones cannot read.
    private func reader(of manifest: BackupManifest, _ known: inout [Int: ClientTools]) async throws -> ClientTools {
        let version = max(manifest.server.versionNumber, manifest.dumpMajor * 10_000)
        if let tools = known[version / 10_000] { return tools }
        do {
            let tools = try await ClientTools.find(
                ["pg_restore"], forServer: version, directory: bin,
                searchPath: repository.environment.variables["PATH"] ?? "")
            known[version / 10_000] = tools
            return tools
        } catch var error as BackupError where error.code == .toolTooOld {
            error.message = "The dumps of backup \(manifest.id) need the pg_restore of PostgreSQL \(version / 10_000)."
            error.unchanged = "Nothing was proved of this backup, neither way."
            throw error
        }
    }

    private func check(
        _ artefact: Artefact, of manifest: BackupManifest, database: DatabaseRecord?, _ reader: ClientTools?
    ) async throws {
        let stored = StoredArtefact(artefact, of: manifest.id, in: repository)
        switch (level, database?.format) {
        case (.list, _): try stored.checkSizes()
        case (.deep, .custom):
            guard let reader else { preconditionFailure("an archive is read without a program that reads it") }
            try await readWithPostgres(stored, reader)
        case (.deep, .plain): try stored.readContent(into: InspectingSink(RowInspector(.plain)))
        case (.checksum, _), (.deep, nil): try stored.readContent(into: DiscardSink())
        }
    }

    /// `pg_restore -f /dev/null` reads every block; it rejects every truncation, which `pg_restore --list` does not.
    private func readWithPostgres(_ stored: StoredArtefact, _ tools: ClientTools) async throws {
        let command = ChildCommand(
            tools.path(of: "pg_restore"), arguments: ["--file=/dev/null"], environment: ["LC_ALL": "C"],
            secrets: [])
        let read = try await PostgresAccess.run(command, input: .pipe) { child in
            let input = child.takeInput(of: command)
            try stored.readContent(into: TeeSink(input, InspectingSink(RowInspector(.custom))))
        }
        // What is not understood here says nothing of what the program found.
        if !read.childStoppedReading { _ = try read.body.get() }
        do {
            try read.value(of: command)
        } catch let error as BackupError where error.code == .toolFailed {
            // A program that was killed, by want of memory perhaps, says nothing about the dump.
            guard case .exited = read.outcome.status else { throw error }
            throw BackupError(
                .objectDamaged, "The dump '\(stored.artefact.name)' of backup \(stored.backup) cannot be read.",
                reason: error.reason ?? error.message, remedy: "Use another backup ('apex-backup list').")
        }
    }
}

extension Repository {
    /// Records that `run` found the backup damaged, as a verification would have: an earlier one counts no more.
    ///
    /// What is known of it already is not recorded again. Only what is missing or has other bytes than were stored is
    /// damaged; that a restore does not understand what was captured proves nothing, as `verify --level deep` may.
    func recordDamage(_ error: BackupError, of id: RunID, foundBy run: RunID) {
        guard error.code.isDamage, error.code != .dumpIncomplete else { return }
        do {
            guard try Catalogue(self).entry(id)?.failedVerification == nil else { return }
            try record(
                BackupFact(
                    kind: .verified, at: environment.clocks.wall(), run: run, succeeded: false, reason: error.message),
                of: id)
        } catch {
            environment.warn("That backup \(id) is damaged could not be recorded: \(error.message)")
        }
    }
}

extension StoredArtefact {
    /// Checks that every volume is there with its size.
    func checkSizes() throws(BackupError) {
        for volume in artefact.volumes {
            guard let key = repository.layout.volume(volume.name, of: backup) else { continue }
            let found = try repository.storage.info(key)
            guard found?.size != volume.bytes else { continue }
            throw BackupError(
                found == nil ? .objectMissing : .objectDamaged,
                found.map { "The object '\(key)' has \($0.size) bytes instead of \(volume.bytes)." }
                    ?? "The object '\(key)' is missing.",
                remedy: "Use another backup ('apex-backup list'); this one is damaged.")
        }
    }
}

/// An inspector as the end of a chain.
final class InspectingSink: ByteSink {
    private let inspector: any StreamInspector

    init(_ inspector: any StreamInspector) { self.inspector = inspector }

    func write(_ bytes: Span<UInt8>) throws(BackupError) { try inspector.inspect(bytes) }
    func finish() throws(BackupError) { try inspector.finish() }
}
