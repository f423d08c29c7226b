import BackupModel
import PostgresAccess

/// What a drill of a physical backup recovers to, and how that was chosen.
struct DrillTarget: Sendable {
    var moment: RestoreMoment
    /// What the choice began with, and the moments between which it was; `nil` if the policy names the target.
    var choice: (seed: UInt32, start: Timestamp, end: Timestamp)?
}

/// How the WAL behind a physical backup was replayed, for checks and the report.
struct DrillRecovery: Sendable {
    var plan: RecoveryPlan
    var replay: RecoveryState
    var boundary: BoundaryProof
    /// Whether the server was asked of the transactions before it could begin some of its own.
    var isAskedInTime: Bool

    /// Whether the replay ended where it was planned to.
    var replayAnswer: CheckAnswer {
        var differences: [String] = []
        do { try plan.requireEnd(replay.replayed) } catch {
            differences.append(error.messageWithReason)
        }
        return CheckAnswer(
            differences: differences,
            evidence: "replayed up to \(replay.replayed.map { "\($0)" } ?? "nothing"); planned: "
                + RecoveryText.end(plan.end))
    }

    var boundaryAnswer: CheckAnswer {
        let outcome = boundary.outcome(isAskedInTime: isAskedInTime)
        if case .notVerified = outcome { return CheckAnswer(outcome) }
        return CheckAnswer(differences: boundary.differences, evidence: boundary.evidence)
    }
}

/// What a drill has made, and how it is ended.
struct DrillServer: Sendable {
    /// `nil` until the server is started.
    var processIdentifier: Int32?
    let destroy: @Sendable () async throws -> Void

    init(_ server: ScratchServer) {
        processIdentifier = server.processIdentifier
        destroy = { try await server.destroy() }
    }

    init(_ recovery: ScratchRecovery, _ server: CloneServer?) {
        processIdentifier = server?.processIdentifier
        destroy = { try await recovery.remove(server) }
    }
}

extension PostgresSession {
    /// What the server says of the transactions of the commits.
    func witness(_ commit: CommitMark?) async throws -> BoundaryProof.Witness? {
        guard let commit else { return nil }
        guard
            let next = try await query(
                "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text"
            ).firstValue.flatMap({ UInt64($0) })
        else { return BoundaryProof.Witness(commit, status: nil) }
        do {
            let status = try await query(
                "SELECT pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8)",
                ["\(commit.fullID(near: next))"]
            ).firstValue
            return BoundaryProof.Witness(commit, status: status)
        } catch let error as BackupError where error.sqlstate == "22023" {
            // "transaction ID … is in the future": the server has not come to it.
            return BoundaryProof.Witness(commit, status: nil)
        }
    }
}
