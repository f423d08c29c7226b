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
        package var objects: Int
        package var bytes: Int64
        package var seconds: Double
        package var succeeded: Bool { problems.isEmpty }
    }

    let repository: Repository
    let level: BackupVerification.Level

    package init(repository: Repository, level: BackupVerification.Level) {
        self.repository = repository
        self.level = level
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
            var reports: [Report] = []
            for system in systems {
                try Task.checkCancellation()
                reports.append(try verify(system))
            }
            return reports
        }
    }

    private static func end(of reports: [Report]) -> (RunEnd.Result, BackupError?) {
        guard let problem = reports.lazy.compactMap(\.problems.first).first else { return (.succeeded, nil) }
        return (.failed, problem)
    }

    private func verify(_ systemIdentifier: String) throws(BackupError) -> Report {
        let clocks = repository.environment.clocks
        let start = clocks.monotonic()
        let archive = try WALArchive(repository, systemIdentifier: systemIdentifier)
        var report = Report(
            systemIdentifier: systemIdentifier, level: level, problems: [], objects: 0, bytes: 0, seconds: 0)
        try archive.forEachStored { object throws(BackupError) in
            try Task.checkNotCancelled()
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
        report.seconds = (clocks.monotonic() - start).seconds
        return report
    }
}
