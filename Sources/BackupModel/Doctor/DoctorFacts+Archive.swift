/// What there is to say of what the repository has: backups, the WAL on from them, and what a receiver stores.
extension DoctorFacts {
    /// The newest backups that are whole.
    package struct Backups: Sendable, Hashable {
        /// The recovery points of the newest backup of any kind, and of the newest physical one.
        package var newest: Timestamp?
        package var newestPhysical: Timestamp?
        /// The WAL behind the newest physical one; `nil` if that is not known.
        package var archived: ArchivedWAL?

        package init(newest: Timestamp? = nil, newestPhysical: Timestamp? = nil, archived: ArchivedWAL? = nil) {
            self.newest = newest
            self.newestPhysical = newestPhysical
            self.archived = archived
        }
    }

    /// What the archive has of the WAL from a physical backup on.
    package enum ArchivedWAL: Sendable, Hashable {
        /// Not even what the backup needs itself.
        case nothing
        /// Everything up to a position.
        case upTo(Reach)

        /// How far it goes without a hole.
        package struct Reach: Sendable, Hashable {
            package var timeline: UInt32
            package var end: LogSequenceNumber
            /// The segment that is missing there, behind which more is stored.
            package var missing: String?
            /// Whether that is more than the backup brought itself.
            package var isBeyondBackup: Bool

            package init(
                timeline: UInt32, end: LogSequenceNumber, missing: String? = nil, isBeyondBackup: Bool = true
            ) {
                self.timeline = timeline
                self.end = end
                self.missing = missing
                self.isBeyondBackup = isBeyondBackup
            }
        }
    }

    /// What came of looking whether a receiver's WAL arrives.
    package enum Reception: Sendable, Hashable {
        /// What was written was stored after so long.
        case proved(took: Duration)
        /// It was not stored in time.
        case missing(waited: Duration)
        /// Nothing was written to see; whether what was finished before is stored, if that is known.
        case notTried(isStored: Bool?)
    }

    /// Whether somebody holds the slot of `wal receive`.
    package var isSlotActive: Bool { slots.contains { $0.name == wanted.slot && $0.isActive } }

    /// Whether `wal receive` is connected, and what it receives comes into this repository: who holds its slot may be
    /// another program.
    package var receives: Bool {
        guard isSlotActive else { return false }
        return switch reception {
        case .proved: true
        case .missing: false
        case .notTried(let isStored): isStored ?? true
        }
    }

    /// What the server has written and the archive lacks: with less than that, a segment is on its way.
    private func lag(behind reach: ArchivedWAL.Reach) -> String? {
        guard !server.inRecovery else { return nil }
        guard reach.timeline == server.timeline else {
            return "of timeline \(reach.timeline), and the server writes timeline \(server.timeline)"
        }
        let (end, now) = (reach.end.position, server.currentLSN.position)
        let segment = UInt64(max(1 << 20, number("wal_segment_size") ?? 16 << 20))
        guard now > end, now - end >= 2 * segment else { return nil }
        return "\(formatBytes(Int64(clamping: now - end))) behind what the server has written"
    }

    /// Whether the archive gets WAL in some way, whatever the settings say.
    private var hasLaterWAL: Bool {
        guard case .upTo(let reach) = backups?.archived else { return false }
        return reach.isBeyondBackup && reach.missing == nil && lag(behind: reach) == nil
    }

    var backupAge: DoctorFinding {
        guard let backups else {
            return DoctorFinding(.newestBackup, .note, "How old the newest backup is is not known.")
        }
        guard let newest = backups.newest else {
            return DoctorFinding(
                .newestBackup, .warning, "There is no backup.", mend: .init(action: "Take one: 'apex-backup backup'."))
        }
        // The WAL of a standby is archived by its primary.
        guard archives || receives || server.inRecovery || hasLaterWAL else {
            let age = DurationText.format(max(.zero, now.since(newest)))
            return now.since(newest) > wanted.rpo
                ? DoctorFinding(
                    .newestBackup, .warning, "The newest backup leads back \(age), and no WAL leads on from it.",
                    why: "A failure now would lose more than the RPO of \(DurationText.format(wanted.rpo)) allows.",
                    mend: .init(action: "Archive WAL (see archive-mode), or take backups more often."))
                : DoctorFinding(.newestBackup, .ok, "The newest backup leads back \(age).")
        }
        guard let base = backups.newestPhysical else {
            return DoctorFinding(
                .newestBackup, .warning, "There is no physical backup to which the archived WAL could be applied.",
                mend: Self.takePhysical)
        }
        return judgement(ofBackupFrom: base, backups.archived)
    }

    private static let takePhysical = DoctorFinding.Mend(action: "Take one: 'apex-backup backup --kind physical'.")

    private func judgement(ofBackupFrom base: Timestamp, _ archived: ArchivedWAL?) -> DoctorFinding {
        let age = DurationText.format(max(.zero, now.since(base)))
        let text = "The newest physical backup leads back \(age)"
        let look = DoctorFinding.Mend(action: "See 'apex-backup wal status', and take a new physical backup.")
        let reach: ArchivedWAL.Reach
        switch archived {
        case nil:
            return DoctorFinding(.newestBackup, .note, "\(text); which WAL leads on from it is not known.")
        case .nothing:
            return DoctorFinding(
                .newestBackup, .error, "\(text), and cannot be restored: WAL that it needs itself is missing.",
                mend: look)
        case .upTo(let found): reach = found
        }
        if let missing = reach.missing {
            return DoctorFinding(
                .newestBackup, .error,
                "\(text), and WAL on from it up to \(reach.end) only: segment \(missing) is missing.",
                why: "What is stored behind it cannot be recovered from this backup.", mend: look)
        }
        if let lag = lag(behind: reach) {
            return DoctorFinding(
                .newestBackup, .warning, "\(text), and the archived WAL on from it ends at \(reach.end), \(lag).",
                why: "A failure now would lose what comes behind it.",
                mend: .init(action: "See what 'doctor' says of archive-mode, archiver and slot."))
        }
        guard now.since(base) <= wanted.window else {
            return DoctorFinding(
                .newestBackup, .warning, "\(text).",
                why:
                    "It is older than the window of \(DurationText.format(wanted.window)): a restore replays all WAL "
                    + "since then.",
                mend: Self.takePhysical)
        }
        return DoctorFinding(.newestBackup, .ok, "\(text), and WAL on from it up to \(reach.end).")
    }

    /// What is said of the slot of `wal receive` while somebody holds it; `nil` for nothing that other slots have not.
    func reception(_ slot: Slot) -> DoctorFinding? {
        guard slot.name == wanted.slot, slot.isActive else { return nil }
        let mend = DoctorFinding.Mend(
            action: "See who holds it (pg_stat_replication), and what 'apex-backup wal receive' has said.")
        switch reception {
        case .proved(let took):
            return DoctorFinding(
                .slot, .ok,
                "The slot '\(slot.name)' is in use: what was written was in the repository after "
                    + "\(DurationText.format(took)).")
        case .missing(let waited):
            return DoctorFinding(
                .slot, .error,
                "The slot '\(slot.name)' is in use, and what was written was not in the repository after "
                    + "\(DurationText.format(waited)).",
                why: "Who holds it stores elsewhere, or nothing.", mend: mend)
        case .notTried(isStored: false):
            return DoctorFinding(
                .slot, .warning,
                "The slot '\(slot.name)' is in use, and the repository lacks the segments that were finished last.",
                why: "Who holds it stores elsewhere, or is far behind.", mend: mend)
        case .notTried: return nil
        }
    }
}
