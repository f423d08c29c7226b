/// A commit in the WAL.
package struct CommitMark: Sendable, Hashable {
    package var transactionID: UInt32
    /// Where its record begins.
    package var lsn: LogSequenceNumber
    package var time: Timestamp

    package init(transactionID: UInt32, lsn: LogSequenceNumber, time: Timestamp) {
        self.transactionID = transactionID
        self.lsn = lsn
        self.time = time
    }

    /// The number of the transaction with its epoch, of a server whose next one is `next`: PostgreSQL keeps those that
    /// it knows within two billion of it.
    package func fullID(near next: UInt64) -> UInt64 {
        let (epoch, half) = (next & ~0xFFFF_FFFF, UInt64(1) << 31)
        let candidate = epoch | UInt64(transactionID)
        if candidate > next, candidate - next >= half, epoch > 0 { return candidate - 1 << 32 }
        if candidate < next, next - candidate > half { return candidate + 1 << 32 }
        return candidate
    }
}

/// What the transactions on both sides of the end of a recovery prove.
package struct BoundaryProof: Sendable, Hashable {
    /// A transaction, and what the server says of it; `nil` if it knows nothing of it.
    package struct Witness: Sendable, Hashable {
        package var commit: CommitMark
        package var status: String?

        package init(_ commit: CommitMark, status: String?) {
            self.commit = commit
            self.status = status
        }
    }

    /// The last one before the end; `nil` if the WAL that is replayed has none.
    package var before: Witness?
    /// The first one behind it; `nil` if none is stored.
    package var behind: Witness?

    package init(before: Witness?, behind: Witness?) {
        self.before = before
        self.behind = behind
    }

    /// What is proved; `isAskedInTime` says whether the server was asked before it could begin transactions of its own.
    package func outcome(isAskedInTime: Bool) -> CheckOutcome {
        guard isAskedInTime || behind == nil else {
            return .notVerified("the server had been promoted before it could be asked")
        }
        guard before != nil || behind != nil else { return .notVerified("nothing is proved: \(evidence)") }
        return differences.isEmpty ? .passed : .failed(differences.joined(separator: "; "))
    }

    /// What is otherwise than it must be.
    package var differences: [String] {
        var texts: [String] = []
        if let before, before.status != "committed" {
            texts.append(
                "transaction \(before.commit.transactionID), committed at \(before.commit.time.readable) before the end, "
                    + "is \(before.status ?? "not known to the server")")
        }
        if let behind, behind.status == "committed" {
            texts.append(
                "transaction \(behind.commit.transactionID), committed at \(behind.commit.time.readable) behind the end, "
                    + "is there")
        }
        return texts
    }

    /// What it rests on.
    package var evidence: String {
        let parts = [
            before.map { "transaction \($0.commit.transactionID) at \($0.commit.lsn) is there" }
                ?? "no transaction was committed in the WAL before the end",
            behind.map { "transaction \($0.commit.transactionID) at \($0.commit.lsn) is not" }
                ?? "none is stored behind it",
        ]
        return parts.joined(separator: ", ")
    }
}

extension RecoveryPlan {
    /// The commits that begin before this position are recovered.
    package var boundary: (before: LogSequenceNumber, behind: LogSequenceNumber) {
        func next(_ lsn: LogSequenceNumber) -> LogSequenceNumber { LogSequenceNumber(position: lsn.position + 1) }
        switch end {
        case .consistent(let mark), .before(let mark), .endOfWAL(let mark): return (mark.lsn, mark.lsn)
        case .after(let mark): return (next(mark.lsn), next(mark.lsn))
        // Which record is the first from there on is not known.
        case .around(let position, let record): return (position, isInclusive ? next(record) : record)
        }
    }
}
