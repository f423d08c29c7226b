import BackupModel
import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup

@Suite(.timeLimit(.minutes(30))) struct `A source that takes connections and hangs` {
    @Test func `is not waited for by a drill that asks it`() async throws {
        let source = try SilentServer()
        let scratch = try await ScratchRepository(for: try await PostgresCluster.shared())
        var environment = scratch.repository.environment
        environment.variables["APEX_DATABASE_URL"] = source.url
        let policy = try DrillPolicyFile.parse(
            """
            apiVersion: apex-backup/v1
            kind: DrillPolicy
            metadata: {name: physical}
            objectives: {rto: 5m, rpo: 1h}
            source: {kind: physical, target: {latest: true}}
            checks:
              - {id: reached, type: replay_complete}
            """, fileName: "p")
        let run = DrillRun(
            repository: scratch.repository, policy: policy, policyDigest: SHA256.digest(of: [UInt8]().span),
            settings: try EffectivePolicy.load(.init(), environment: environment))
        let asked = try await onOwnThreads { await run.askSource(longestSilence: .seconds(1)) }
        guard case .failure(let error)? = asked else {
            Issue.record("it answered: \(String(describing: asked))")
            return
        }
        #expect(error.code == .serverConnectionLost, "\(error)")
        #expect(error.reason?.contains("has sent nothing for") == true, "\(error)")
    }
}
