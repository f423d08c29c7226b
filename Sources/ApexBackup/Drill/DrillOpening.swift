package import BackupModel

extension DrillRun {
    /// Opens the repository and runs the drill of `policy`.
    ///
    /// What keeps it from beginning is a result like any other, with a report that is kept nowhere. Only wrong settings
    /// are thrown: a drill that cannot be understood proves nothing of any backup.
    package static func run(
        _ policy: DrillPolicy, digest: SHA256Digest, settings: EffectivePolicy
    ) async throws -> Outcome {
        do {
            return try await DrillRun(
                repository: try settings.repository(), policy: policy, policyDigest: digest, settings: settings
            ).run()
        } catch {
            let known = RunLog.describe(error)
            guard known.code.exitStatus == 1 else { throw known }
            var fault = DrillJournal.fault(known, during: .select)
            if case .noTarget(let text) = fault { fault = .notRecorded(text) }
            return notBegun(policy, digest: digest, environment: settings.environment, because: fault)
        }
    }

    private static func notBegun(
        _ policy: DrillPolicy, digest: SHA256Digest, environment: BackupEnvironment, because fault: DrillFault
    ) -> Outcome {
        let now = environment.clocks.wall()
        var report = DrillReport(
            id: environment.makeRunID(), policy: policy, policySHA256: digest.description,
            clock: .init(t0: now, finishedAt: now), observation: DrillObservation(faults: [fault]))
        report.cleanup = .init(isDone: true, proof: ["nothing was made"])
        report.environment = .init(of: environment)
        var wasInterrupted = false
        if case .aborted = fault { wasInterrupted = true }
        return Outcome(report: report, location: nil, isCleanedUp: true, wasInterrupted: wasInterrupted)
    }
}

extension DrillReport.EnvironmentRecord {
    /// This host, and this program.
    init(of environment: BackupEnvironment) {
        self.init()
        host = environment.host
        cpuCount = HostFacts.processorCount
        memoryBytes = HostFacts.memoryBytes
        operatingSystem = HostFacts.kernel
        versions["apex-backup"] = environment.toolVersion
    }
}
