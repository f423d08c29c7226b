import BackupModel
import BackupStorage
import PostgresAccess

extension Doctor {
    /// Everything about the server that `doctor` judges, but what needs the repository.
    func gatherFacts(from session: PostgresSession, archiveCommand: String) async throws -> DoctorFacts {
        let clocks = settings.environment.clocks
        let server = try await session.serverFacts()
        let before = clocks.wall()
        let clock = try await session.clock()
        let after = clocks.wall()
        let policy = settings.policy
        var facts = DoctorFacts(
            server: server, role: try await RoleNeeds(of: session, facts: server),
            wanted: .init(
                cluster: policy.name, rpo: policy.objectives.rpo, rto: policy.objectives.rto,
                window: policy.retentionWindow, archiveCommand: archiveCommand, backupWAL: policy.physical.wal),
            now: after,
            clock: ClockDifference(server: clock, between: before, and: after))
        facts.settings = try await session.serverSettings()
        facts.archiver = try await session.archiver()
        facts.waiting = try await session.filesWaiting(for: facts.role)
        try await session.lookAtReplication(&facts)
        facts.remoteApply = try await session.remoteApply()
        facts.space = try await session.walSpace(for: facts.role)
        if let directory = try await localDataDirectory(of: facts, session) {
            // A folder that this process may not read is one that cannot be seen.
            do { facts.space.freeBytes = try PosixStorage(root: "\(directory)/pg_wal").freeBytes() } catch {}
            if case .push(let push) = facts.archiveCommand.content, push.program.hasPrefix("/") {
                facts.pushProgramExists = HostFacts.exists(push.program)
            }
        }
        if facts.receiver?.isSynchronous == true, facts.remoteApply.isEmpty, !server.inRecovery {
            facts.receiver?.latency = try await CommitLatency(
                connection: session.settings, clocks: clocks, longestSilence: longestSilence
            ).measure()
        }
        return facts
    }

    /// The data directory, if the server is on this host and this process may read it.
    ///
    /// At the same place another server of the cluster may have its own: on a standby's host, the standby.
    private func localDataDirectory(of facts: DoctorFacts, _ session: PostgresSession) async throws -> String? {
        guard let directory = facts.value("data_directory") else { return nil }
        // The server may write it between the two looks.
        for _ in 0..<3 {
            let told = try await session.controlMark(inRecovery: facts.server.inRecovery)
            do throws(BackupError) {
                guard let control = try controlFile(inDataDirectory: directory) else { return nil }
                if control.mark == told, "\(control.systemIdentifier)" == facts.server.systemIdentifier {
                    return directory
                }
            } catch { return nil }
        }
        return nil
    }
}

extension PostgresSession {
    fileprivate func serverSettings() async throws -> [String: DoctorFacts.Setting] {
        let answer = try await query(
            """
            SELECT name,
                -- While nothing is archived, its present value is shown as "(disabled)".
                CASE WHEN name = 'archive_command' THEN coalesce(reset_val, '') ELSE setting END AS value,
                source = 'command line' AS is_fixed, context = 'postmaster' AS needs_restart, pending_restart
            FROM pg_catalog.pg_settings
            WHERE name IN ('allow_alter_system', 'archive_command', 'archive_library', 'archive_mode',
                'archive_timeout', 'data_directory', 'full_page_writes', 'max_replication_slots', 'max_slot_wal_keep_size',
                'max_wal_senders', 'max_wal_size', 'synchronous_standby_names', 'wal_level', 'wal_segment_size')
            """)
        var settings: [String: DoctorFacts.Setting] = [:]
        for row in answer.rows.indices {
            guard let name = answer.value(row, "name"), let value = answer.value(row, "value") else { continue }
            settings[name] = DoctorFacts.Setting(
                value, isFromCommandLine: answer.value(row, "is_fixed") == "t",
                needsRestart: answer.value(row, "needs_restart") == "t",
                isPending: answer.value(row, "pending_restart") == "t")
        }
        return settings
    }

    /// What the server says of its control file, as any role may see.
    fileprivate func controlMark(inRecovery: Bool) async throws -> ControlFile.Mark {
        let answer = try await query(
            """
            SELECT extract(epoch FROM pg_control_last_modified)::bigint, checkpoint_lsn, redo_lsn
            FROM pg_catalog.pg_control_system(), pg_catalog.pg_control_checkpoint()
            """)
        func position(_ column: Int) -> LogSequenceNumber? {
            answer.value(0, column).flatMap { LogSequenceNumber(parsing: $0) }
        }
        guard let time = answer.value(0, 0).flatMap({ Int64($0) }), let checkpoint = position(1),
            let redo = position(2)
        else { throw unexpectedAnswer("its control file") }
        return ControlFile.Mark(isInRecovery: inRecovery, updateTime: time, checkpoint: checkpoint, redo: redo)
    }

    /// How many files wait for the archiver; `nil` for a role that may not see it.
    func filesWaiting(for role: RoleNeeds) async throws -> Int64? {
        guard role.isSuperuser || role.mayMonitor else { return nil }
        return try await query(
            "SELECT count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
        ).firstValue.flatMap { Int64($0) }
    }

    fileprivate func lookAtReplication(_ facts: inout DoctorFacts) async throws {
        let slots = try await query(
            """
            SELECT slot_name, active, wal_status,
                pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
                    THEN coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                    ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::bigint AS kept,
                -- A column of PostgreSQL 17.
                \(microseconds(of: "(pg_catalog.to_jsonb(slot) ->> 'inactive_since')::timestamptz")) AS inactive_since
            FROM pg_catalog.pg_replication_slots AS slot WHERE NOT temporary ORDER BY slot_name
            """)
        facts.slots = slots.rows.indices.map { row in
            DoctorFacts.Slot(
                name: slots.value(row, "slot_name") ?? "", isActive: slots.value(row, "active") == "t",
                status: slots.value(row, "wal_status"), keptBytes: slots.value(row, "kept").flatMap { Int64($0) },
                inactiveSince: slots.time(row, "inactive_since"))
        }
        let used = try await query(
            """
            SELECT (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
                (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS senders
            """)
        facts.slotsInUse = used.value(0, "slots").flatMap { Int($0) } ?? 0
        facts.sendersInUse = used.value(0, "senders").flatMap { Int($0) } ?? 0
        let receiver = try await query(
            """
            SELECT sender.application_name, sender.sync_state
            FROM pg_catalog.pg_replication_slots AS slot
            JOIN pg_catalog.pg_stat_replication AS sender ON sender.pid = slot.active_pid
            WHERE slot.slot_name = $1
            """, [facts.wanted.slot])
        if !receiver.rows.isEmpty {
            facts.receiver = .init(
                applicationName: receiver.value(0, "application_name") ?? "",
                synchronousState: receiver.value(0, "sync_state"))
        }
    }

    /// Where `synchronous_commit` is `remote_apply` for anybody.
    fileprivate func remoteApply() async throws -> [DoctorFacts.RemoteApply] {
        let settings = try await query(
            """
            SELECT CASE WHEN role.rolname IS NULL AND base.datname IS NULL THEN 'all roles'
                    WHEN role.rolname IS NULL THEN format('the database %I', base.datname)
                    WHEN base.datname IS NULL THEN format('the role %I', role.rolname)
                    ELSE format('the role %I in the database %I', role.rolname, base.datname) END AS place,
                CASE WHEN role.rolname IS NULL AND base.datname IS NULL THEN 'ALTER ROLE ALL'
                    WHEN role.rolname IS NULL THEN format('ALTER DATABASE %I', base.datname)
                    WHEN base.datname IS NULL THEN format('ALTER ROLE %I', role.rolname)
                    ELSE format('ALTER ROLE %I IN DATABASE %I', role.rolname, base.datname) END
                    || ' SET synchronous_commit = ''on'';' AS statement
            FROM pg_catalog.pg_db_role_setting AS given
            LEFT JOIN pg_catalog.pg_roles AS role ON role.oid = given.setrole
            LEFT JOIN pg_catalog.pg_database AS base ON base.oid = given.setdatabase
            WHERE 'synchronous_commit=remote_apply' = ANY (given.setconfig) ORDER BY 1
            """)
        let given = settings.rows.indices.map { row in
            DoctorFacts.RemoteApply(
                place: settings.value(row, "place") ?? "", statement: settings.value(row, "statement") ?? "")
        }
        // With one for this role the server's own value cannot be seen.
        guard given.isEmpty else { return given }
        let value = try await query(
            "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'"
        ).firstValue
        guard value == "remote_apply" else { return [] }
        return [.init(place: "all", statement: "ALTER SYSTEM SET synchronous_commit = 'on';")]
    }

    fileprivate func walSpace(for role: RoleNeeds) async throws -> DoctorFacts.WALSpace {
        var space = DoctorFacts.WALSpace()
        if role.isSuperuser || role.mayMonitor {
            space.usedBytes = try await query("SELECT sum(size)::bigint FROM pg_catalog.pg_ls_waldir()").firstValue
                .flatMap { Int64($0) }
        }
        space.bytesPerSecond = try await query(
            """
            -- The average of a few minutes tells nothing.
            SELECT wal_bytes / extract(epoch FROM pg_catalog.clock_timestamp() - stats_reset)
            FROM pg_catalog.pg_stat_wal WHERE stats_reset < pg_catalog.clock_timestamp() - interval '1 hour'
            """
        ).firstValue.flatMap { Double($0) }
        return space
    }
}
