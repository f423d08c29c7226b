/// What there is to say of WAL senders, slots, and the room that they take.
extension DoctorFacts {
    var replicationFindings: [DoctorFinding] {
        [walSenders, replicationSlots] + slots.map(judgement(of:)) + [slotLimit, space(of: space)]
            + [synchronousReceiver].compactMap(\.self)
    }

    /// A base backup has one connection for the files and, if its WAL is streamed, one for that, with a slot.
    private var walSenders: DoctorFinding {
        let needed: Int64 = wanted.backupWAL == .stream ? 2 : 1
        let most = number("max_wal_senders") ?? 0
        let free = most - Int64(sendersInUse)
        let text = "max_wal_senders is \(most), of which \(sendersInUse) are in use"
        guard server.major >= 15, free < needed else { return DoctorFinding(.walSenders, .ok, "\(text).") }
        return DoctorFinding(
            .walSenders, .error, "\(text): a base backup needs \(needed == 2 ? "two" : "one").",
            mend: setting(("max_wal_senders", "\(max(10, sendersInUse + 4))")))
    }

    private var replicationSlots: DoctorFinding {
        let most = number("max_replication_slots") ?? 0
        let text = "max_replication_slots is \(most), of which \(slotsInUse) are in use"
        guard server.major >= 15, wanted.backupWAL == .stream, most <= Int64(slotsInUse) else {
            return DoctorFinding(.replicationSlots, .ok, "\(text).")
        }
        return DoctorFinding(
            .replicationSlots, .error, "\(text): a base backup needs one.",
            mend: setting(("max_replication_slots", "\(max(10, slotsInUse + 4))")))
    }

    private func judgement(of slot: Slot) -> DoctorFinding {
        let isOurs = slot.name == wanted.slot
        let kept = slot.keptBytes.map { " It holds \(formatBytes(max(0, $0))) of WAL." } ?? ""
        let drop = DoctorFinding.Mend(
            ["SELECT pg_drop_replication_slot(\(quoteLiteral(slot.name)));"],
            action: isOurs
                ? "Or start 'apex-backup wal receive' again."
                : "If nobody needs it: whoever it was made for has to begin anew.")
        switch slot.status {
        case "lost":
            return DoctorFinding(
                .slot, isOurs ? .error : .warning, "The slot '\(slot.name)' has lost WAL that it should have kept.",
                why: isOurs
                    ? "The stream of WAL has a gap: the repository needs a new base backup, 'apex-backup backup --kind "
                        + "physical'."
                    : "Whoever reads from it cannot go on.",
                mend: DoctorFinding.Mend(
                    drop.statements, action: isOurs ? "Then start 'apex-backup wal receive'." : nil))
        case "unreserved":
            // That nothing comes of it is worse.
            if let finding = reception(slot), finding.level == .error { return finding }
            return DoctorFinding(
                .slot, .warning, "The slot '\(slot.name)' is about to lose WAL that it needs.\(kept)",
                why: "It is beyond max_slot_wal_keep_size; the next checkpoint may remove it.",
                mend: setting(
                    ("max_slot_wal_keep_size", "\(gigabytesToKeep(for: slot))GB"),
                    action: "That needs the room in pg_wal. Or let its reader catch up at once."))
        default: break
        }
        if let finding = reception(slot) { return finding }
        guard !slot.isActive else {
            return DoctorFinding(.slot, .ok, "The slot '\(slot.name)' is in use.\(kept)")
        }
        let since = slot.inactiveSince.map { " since \($0.readable)" } ?? ""
        return DoctorFinding(
            .slot, .warning,
            "The slot '\(slot.name)'\(isOurs ? " of 'apex-backup wal receive'" : "") is used by nobody\(since).\(kept)",
            why: "The server keeps all WAL from where it stands.", mend: drop)
    }

    /// Twice what the server may keep now, and twice what it keeps for a slot.
    private func gigabytesToKeep(for slot: Slot) -> Int64 {
        let megabytes = 2 * max(number("max_slot_wal_keep_size") ?? 0, (slot.keptBytes ?? 0) >> 20, 512)
        return (megabytes + 1023) / 1024
    }

    private var slotLimit: DoctorFinding {
        let limit = number("max_slot_wal_keep_size") ?? -1
        if limit >= 0 {
            return DoctorFinding(.slotLimit, .ok, "max_slot_wal_keep_size is \(formatBytes(limit << 20)).")
        }
        guard !slots.isEmpty else {
            return DoctorFinding(.slotLimit, .ok, "max_slot_wal_keep_size is -1, and there is no slot.")
        }
        let room = (space.freeBytes ?? 0) + (space.usedBytes ?? 0)
        let gigabytes = room > 0 ? max(1, (room / 2) >> 30) : 10
        return DoctorFinding(
            .slotLimit, .warning,
            "max_slot_wal_keep_size is -1: WAL for a slot that nobody reads fills pg_wal, and then the server stops.",
            why: "With a limit the slot is lost instead, and its reader has to begin anew.",
            mend: setting(("max_slot_wal_keep_size", "\(gigabytes)GB")))
    }

    private func space(of space: WALSpace) -> DoctorFinding {
        let used = space.usedBytes.map { "pg_wal has \(formatBytes($0))" }
        guard let free = space.freeBytes else {
            guard let used else {
                return .notKnown(.pgWALSpace, "The size of pg_wal", grant: monitorGrant)
            }
            return DoctorFinding(
                .pgWALSpace, .note, "\(used); how much is free beside it cannot be seen from here.",
                mend: .init(action: "Look on the server's host, as its user: df -h pg_wal."))
        }
        let text = "\(used.map { "\($0), and " } ?? "")\(formatBytes(free)) are free beside it"
        let normal = (number("max_wal_size") ?? 0) << 20
        if free < max(0, normal - (space.usedBytes ?? 0)) {
            return DoctorFinding(
                .pgWALSpace, .error,
                "\(text): less than max_wal_size (\(formatBytes(normal))) lets it grow to without any outage.",
                why: "A server whose pg_wal is full stops.",
                mend: setting(
                    ("max_wal_size", "\(max(64, (free + (space.usedBytes ?? 0)) >> 21))MB"),
                    action: "Checkpoints come more often then: more room for pg_wal is better."))
        }
        guard let rate = space.bytesPerSecond, rate > 0 else { return DoctorFinding(.pgWALSpace, .ok, "\(text).") }
        // A century is for ever.
        let lasting = Duration.seconds(min(Double(free) / rate, 3_155_760_000))
        let time =
            "at the \(formatBytes(Int64(rate))) a second that the server wrote on average, enough for an outage of "
            + "the archive of \(DurationText.format(lasting))"
        guard lasting < wanted.rto else { return DoctorFinding(.pgWALSpace, .ok, "\(text): \(time).") }
        return DoctorFinding(
            .pgWALSpace, .warning, "\(text): \(time), less than the RTO of \(DurationText.format(wanted.rto)).",
            why: "A server whose pg_wal is full stops.", mend: .init(action: "Give pg_wal more room."))
    }

    private var monitorGrant: String { "GRANT pg_monitor TO \(quoteIdentifier(role.role));" }

    /// A receiver stores WAL and applies none: who waits for that waits for ever.
    private var synchronousReceiver: DoctorFinding? {
        guard let receiver else { return nil }
        if receiver.synchronousState == nil {
            let names = SynchronousStandbyNames(parsing: value("synchronous_standby_names") ?? "")
            return names.include(wanted.slot)
                ? .notKnown(
                    .synchronousReceiver, "What commits cost that wait for 'apex-backup wal receive'",
                    grant: monitorGrant)
                : nil
        }
        guard receiver.isSynchronous else { return nil }
        let name = "'apex-backup wal receive' (\(receiver.applicationName))"
        if !remoteApply.isEmpty {
            let statements = remoteApply.map(\.statement)
            let reload = statements.contains { $0.hasPrefix("ALTER SYSTEM") } ? ["SELECT pg_reload_conf();"] : []
            return DoctorFinding(
                .synchronousReceiver, .error,
                "Commits wait for \(name), and synchronous_commit is remote_apply for "
                    + "\(remoteApply.map(\.place).joined(separator: ", ")).",
                why: "It stores WAL and applies none: such a commit does not return.",
                // The change is itself a commit.
                mend: .init(["SET synchronous_commit = local;"] + statements + reload))
        }
        guard let latency = receiver.latency else {
            return DoctorFinding(
                .synchronousReceiver, .note, "Commits wait for \(name); how long was not measured.")
        }
        return DoctorFinding(
            .synchronousReceiver, .ok,
            "Commits wait for \(name): \(DurationText.format(latency.waiting)), against "
                + "\(DurationText.format(latency.local)) without it (medians).")
    }
}
