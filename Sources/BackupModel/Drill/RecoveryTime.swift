/// How long recovery took: from the declared failure to the end of the last gating check.
package struct RecoveryTime: Sendable, Hashable {
    /// Measured and assumed time together, to be compared with the RTO; `nil` if recovery was not proved.
    package var total: Duration?
    /// The measured part; `nil` if recovery was not proved.
    package var technical: Duration?
    /// The time measured, whether or not recovery was proved at its end.
    package var measured: Duration
    /// The time assumed for noticing and deciding.
    package var assumed: Duration
    /// For how long recovery was tried in vain; `nil` if it was proved.
    package var notRecoveredWithin: Duration?
    /// The assumed and measured spans, those after recovery included.
    package var spans: [DrillSpan]

    /// Measures the recovery whose `spans` were recorded.
    ///
    /// Time in which only advisory work was done does not count; time that no span covers does. `recoveredAt` is when
    /// the last gating check ended, after the declared failure, if all of them passed; `gaveUpAt` is when the drill
    /// stopped trying, if not. `objectives` have the assumed parts.
    package init(
        spans: [DrillSpan], recoveredAt: Duration?, gaveUpAt: Duration, objectives: DrillPolicy.Objectives
    ) {
        let end = recoveredAt ?? gaveUpAt
        let recovery = spans.filter(\.phase.isPartOfRecovery).criticalPath(until: end)
        let uncovered = end - spans.criticalPath(until: end)
        measured = recovery + uncovered
        assumed = objectives.detect + objectives.declare
        technical = recoveredAt == nil ? nil : measured
        total = technical.map { [assumed] in $0 + assumed }
        notRecoveredWithin = recoveredAt == nil ? measured : nil
        let assumptions: [(DrillSpan.Phase, Duration)] = [(.detect, objectives.detect), (.declare, objectives.declare)]
        self.spans = assumptions.filter { $0.1 > .zero }.map { DrillSpan($0.0, duration: $0.1, basis: .assumed) }
        self.spans += spans.sorted { ($0.start ?? .zero) < ($1.start ?? .zero) }
        if uncovered > .zero { self.spans.append(DrillSpan(.other, duration: uncovered, basis: .measured)) }
    }

    /// The same time of a drill in which recovery was not proved: there is no recovery time then.
    package var withoutProof: RecoveryTime {
        var copy = self
        copy.total = nil
        copy.technical = nil
        copy.notRecoveredWithin = measured
        return copy
    }
}
