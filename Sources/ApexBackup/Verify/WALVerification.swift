package import BackupModel
import BackupStorage

/// Reads the archived WAL of a cluster back: backups prove only what they need themselves, and the way from one to the
/// next moment leads through all of it.
package struct WALVerification: Sendable {
    /// What was found of the WAL of one incarnation.
    package struct Report: Sendable, Encodable {
        package var systemIdentifier: String
        package var level: BackupVerification.Level
        package var problems: [BackupError]
        package var holes: [Hole]
        package var objects: Int
        package var bytes: Int64
        package var seconds: Double
        package var succeeded: Bool { problems.isEmpty }
    }

    let repository: Repository
    let level: BackupVerification.Level
    /// For how long every moment is to stay restorable: holes before that cost nothing that is promised.
    let window: Duration

    package init(
        repository: Repository, level: BackupVerification.Level, window: Duration = BackupPolicy.standardWindow
    ) {
        self.repository = repository
        self.level = level
        self.window = window
    }

    /// Verifies the WAL of every incarnation that has some, as a recorded run.
    package func run() async throws -> [Report] {
        let systems = try repository.incarnations().map(\.systemIdentifier).filter { system in
            try !repository.storage.children(of: WALArchive(repository, systemIdentifier: system).layout.wal).isEmpty
        }
        guard !systems.isEmpty else { return [] }
        return try await RunLog(repository: repository).recorded(
            .verify, settings: "wal \(level.rawValue)", duty: .bestEffort, judge: Self.end
        ) { _ in
            let entries = try Catalogue(repository).entries()
            var reports: [Report] = []
            for system in systems {
                try Task.checkCancellation()
                reports.append(try await verify(system, entries))
            }
            return reports
        }
    }

    private static func end(of reports: [Report]) -> (RunEnd.Result, BackupError?) {
        guard let problem = reports.lazy.compactMap(\.problems.first).first else { return (.succeeded, nil) }
        return (.failed, problem)
    }

    private func verify(
        _ systemIdentifier: String, _ entries: [CatalogueEntry]
    ) async throws(BackupError) -> Report {
        let clocks = repository.environment.clocks
        let start = clocks.monotonic()
        let archive = try WALArchive(repository, systemIdentifier: systemIdentifier)
        var report = Report(
            systemIdentifier: systemIdentifier, level: level, problems: [], holes: [], objects: 0, bytes: 0, seconds: 0)
        // Without a physical backup nothing is reached from anywhere.
        var names = entries.walSegmentSize(of: systemIdentifier).map(StoredNames.init)
        try archive.forEachStored { object throws(BackupError) in
            try Task.checkNotCancelled()
            names?.add(object.key, archive.layout)
            repository.environment.events(
                .progress(subject: String(object.key.lastComponent), bytes: report.bytes, of: nil))
            do throws(BackupError) {
                try archive.prove(object.key, reading: level != .list)
            } catch {
                // What prune has removed meanwhile is not missing.
                guard try repository.storage.info(object.key) != nil else { return }
                guard BackupVerification.isProblem(error.code) else { throw error }
                report.problems.append(error)
            }
            report.objects += 1
            report.bytes += object.size
        }
        if let names {
            do throws(BackupError) {
                report.holes = try await holes(in: archive, names, of: entries)
                report.problems += report.holes.compactMap(Self.problem)
            } catch {
                // A history that is damaged was told of.
                guard BackupVerification.isProblem(error.code) else { throw error }
                if !report.problems.contains(where: { $0.message == error.message }) { report.problems.append(error) }
            }
        }
        report.seconds = (clocks.monotonic() - start).seconds
        return report
    }
}
