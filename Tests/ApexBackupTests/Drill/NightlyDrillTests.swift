import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite(.timeLimit(.minutes(30))) struct `The drill of the nightly dump` {
    /// The policy that comes with the program, for the database `name`.
    private func policy(for name: String) throws -> DrillPolicy {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../policies/drills/runbook-nightly.yaml")
        let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        return try DrillPolicyFile.parse(text.replacing("database: apex", with: "database: \(name)"), fileName: "p")
    }

    @Test func `misses the RPO of 15 minutes, says why, and proves the backup all the same`() async throws {
        let cluster = try await PostgresCluster.shared()
        try await cluster.withDatabase { database in
            try await cluster.execute(
                """
                CREATE TABLE projects (id int PRIMARY KEY);
                CREATE TABLE project_payloads (project_id int REFERENCES projects);
                INSERT INTO projects SELECT generate_series(1, 10);
                INSERT INTO project_payloads SELECT generate_series(1, 10)
                """, in: database)
            let scratch = try await ScratchRepository(for: cluster)
            let name = try #require(database.database)
            let manifest = try await scratch.backup(name) { $0.globals = true }
            // The failure comes in the morning.
            var environment = scratch.repository.environment
            let later = Duration.seconds(33_120) - environment.clocks.wall().since(manifest.recoveryPoint)
            environment.clocks.wall = { [wall = environment.clocks.wall] in wall().advanced(by: later) }
            let repository = try Repository.open(
                scratch.repository.storage, layout: scratch.repository.layout, environment: environment)
            let run = DrillRun(
                repository: repository, policy: try policy(for: name), policyDigest: SHA256.digest(of: [UInt8]().span),
                settings: try EffectivePolicy.load(.init(), environment: environment))
            let outcome = try await onOwnThreads { try await run.run() }

            let report = outcome.report
            #expect(outcome.exitStatus == 1 && report.verdict == .fail)
            #expect(report.objectives.rpoVerdict == .fail && report.objectives.rtoVerdict == .pass)
            // Twelve minutes past nine hours, and as long as it took to get there.
            let point = try #require(report.recoveryPoint)
            #expect(point.actual.duration >= .seconds(33_120) && point.actual.duration < .seconds(36_000))
            let age = DurationText.format(point.actual.duration)
            #expect(report.reasons.count == 1)
            let reason = try #require(report.reasons.first)
            #expect(reason.hasPrefix("the newest logical backup was \(age) old at the declared failure"))
            #expect(
                reason.hasSuffix("a logical backup can not be rolled forward; an RPO of 15 min needs WAL archiving"))
            #expect(report.checks.allSatisfy { $0.verdict == .pass }, "\(report.checks)")
            #expect(report.recoveryTime.assumed.duration == .seconds(1200))
            let technical = try #require(report.recoveryTime.technical).duration
            #expect(report.recoveryTime.total?.duration == technical + .seconds(1200))
            #expect(report.recoveryTime.phases.prefix(2).map(\.basis) == [.assumed, .assumed])
            #expect(report.recoveryPoint?.covered == manifest.recoveryPoint)
            #expect(point.actual.duration == report.clock.t0.since(point.covered) && point.uncertainty.duration > .zero)

            let text = report.markdown
            for part in [
                "> **FAIL**", "> - \(reason)", "## Objectives against measured", "| RTO | 4 h |",
                "| RPO | 15 min | \(age) |",
                "dump snapshot", "## Phases", "| detect |", "| restore |", "## Backup used",
                manifest.artefacts[0].contentSHA256.description, "## Checks", "| Expected | Got |",
                "as in the manifest",
                "## Environment", "| Processors |", "## Deviations\n\n- The server ran with autovacuum = off",
            ] { #expect(text.contains(part), "\(part)") }
            let location = try #require(outcome.location)
            #expect(String(decoding: try Data(contentsOf: URL(filePath: location)), as: UTF8.self).contains("\"fail\""))
            let view = URL(filePath: location.replacing(".json", with: ".md"))
            #expect(String(decoding: try Data(contentsOf: view), as: UTF8.self) == text)
            // That the dump was too old is no fault of the dump.
            #expect(try Catalogue(repository).entry(manifest.id)?.state == .drilled)
        }
    }
}

@Suite struct `What an error says of a drill` {
    @Test(arguments: [
        (ErrorCode.objectDamaged, DrillSpan.Phase.restore, Verdict.fail), (.backupMissing, .select, .fail),
        (.toolFailed, .restore, .fail), (.serverConnectionLost, .verify, .fail), (.storageFailed, .restore, .fail),
        (.repositoryUnavailable, .restore, .notVerified), (.repositoryNewer, .select, .notVerified),
        (.permissionDenied, .select, .notVerified), (.toolMissing, .select, .notVerified),
        (.usage, .select, .fail), (.dumpIncomplete, .select, .fail),
        (.permissionDenied, .restore, .notVerified), (.targetUnsuitable, .provision, .notVerified),
        (.interrupted, .verify, .notVerified), (.walMissing, .select, .fail), (.momentUnreachable, .select, .fail),
        (.walSegmentInvalid, .select, .fail), (.walMissing, .replay, .fail), (.restoreFailed, .replay, .fail),
    ])
    func `depends on whether the backup or the host is to blame`(
        code: ErrorCode, phase: DrillSpan.Phase, verdict: Verdict
    ) {
        let error = BackupError(code, "It failed.", remedy: "R")
        #expect(DrillJournal.fault(error, during: phase).verdict == verdict)
    }

    @Test(arguments: ["could not extend file: No space left on device", "Cannot allocate memory"])
    func `is that the host is to blame when its disk or its memory is full`(reason: String) {
        let error = BackupError(.toolFailed, "pg_restore failed.", reason: reason, remedy: "R")
        guard case .noTarget = DrillJournal.fault(error, during: .restore) else {
            Issue.record("the backup was blamed")
            return
        }
    }
}
