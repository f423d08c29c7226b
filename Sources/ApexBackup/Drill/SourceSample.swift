import BackupModel
import PostgresAccess

/// What the source says of itself when the failure is declared: the one thing that a drill asks of production.
struct SourceSample: Sendable {
    var facts: ServerFacts
    /// Its clock against this host's.
    var clock: ClockDifference
}

extension DrillRun {
    /// Asks the source where it has written its WAL to, if the drill recovers to the end of it.
    ///
    /// It may be gone, or nobody may have said where it is: that is an answer too. A failure may be that it takes
    /// connections and hangs: one that says nothing for `longestSilence` is not waited for.
    func askSource(
        longestSilence: Duration = PostgresSession.longestSilence
    ) async -> Result<SourceSample, BackupError>? {
        guard policy.source.target == .moment(.latest) else { return nil }
        let clocks = environment.clocks
        do {
            let sample = try await PostgresSession.with(
                try settings.connection(), applicationName: "apex-backup drill", timeout: DumpSource.connectTimeout,
                longestSilence: longestSilence
            ) { session in
                let facts = try await session.serverFacts()
                let start = clocks.wall()
                let clock = try await session.clock()
                return SourceSample(
                    facts: facts, clock: ClockDifference(server: clock, between: start, and: clocks.wall()))
            }
            return .success(sample)
        } catch {
            return .failure(RunLog.describe(error))
        }
    }

    /// Puts down what the source said, for the report.
    func note(
        _ asked: Result<SourceSample, BackupError>?, _ prepared: PhysicalRestore.Prepared,
        in journal: inout DrillJournal
    ) throws(BackupError) {
        let answer: SourceAnswer
        switch asked {
        case nil: return
        case .success(let sample):
            answer = SourceAnswer(
                sample.facts, clock: sample.clock, of: prepared.manifest.systemIdentifier,
                onTimeline: prepared.recovery.timeline)
        case .failure(let error):
            try Task.checkNotCancelled()
            answer = .none(error.messageWithReason)
        }
        journal.source = answer
        if case .none(let reason) = answer { journal.recovery?.sourceSilence = reason }
    }
}
