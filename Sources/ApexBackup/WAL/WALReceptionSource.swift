import BackupModel
import PostgresAccess

/// A server that was looked at before its WAL is received.
struct WALReceptionSource: Sendable {
    let facts: ServerFacts
    let segmentSize: WALSegmentSize
    /// Where the slot keeps WAL from; `nil` if there is no such slot.
    let slot: Slot?
    /// After how long the server misses a stream that was lost; zero for never, `nil` if it does not say.
    let senderTimeout: Duration?
    /// The standbys that the server waits for.
    let synchronousStandbys: SynchronousStandbyNames

    /// The state of the slot.
    struct Slot: Sendable, Hashable {
        /// `nil` if it keeps nothing (any more).
        var keptFrom: LogSequenceNumber?
        /// Whether the server has removed WAL that it should have kept.
        var hasLostWAL: Bool
        /// Who streams over it, if anybody does.
        var holder: ReplicationSlotHolder?
    }

    /// Looks at the server; refuses one that is not registered, or on which commits would wait for ever.
    static func open(
        _ connection: ConnectionSettings, _ request: WALReception.Request, into repository: Repository
    ) async throws -> WALReceptionSource {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup wal receive", timeout: DumpSource.connectTimeout,
            longestSilence: request.longestSilence
        ) { session in
            let facts = try await session.serverFacts()
            try repository.requireIncarnation(facts.systemIdentifier)
            guard facts.major >= 15 else {
                throw BackupError(
                    .serverUnsupported,
                    "The server runs PostgreSQL \(facts.major), of which no WAL can be received.",
                    reason: "slots can be read over the replication protocol since PostgreSQL 15",
                    remedy: "Archive with archive_command ('apex-backup wal push'), or upgrade the server.",
                    unchanged: "Nothing was received.")
            }
            let settings = try await session.query(settingsQuery)
            guard let size = WALSegmentSize(bytes: settings.value(0, "segment_size").flatMap { Int64($0) } ?? 0)
            else { throw unexpectedAnswer("wal_segment_size") }
            return WALReceptionSource(
                facts: facts, segmentSize: size, slot: try await session.state(of: request.slot),
                senderTimeout: settings.value(0, "sender_timeout").flatMap { Int64($0) }.map { .milliseconds($0) },
                synchronousStandbys: try await session.synchronousStandbys(
                    requiring: request.slot.description, inRecovery: facts.inRecovery))
        }
    }

    /// Refuses a session that leads to a server of another cluster.
    func requireSame(_ identity: ReplicationSession.Identity, as connection: ConnectionSettings) throws(BackupError) {
        guard identity.systemIdentifier == facts.systemIdentifier else {
            throw BackupError(
                .wrongCluster, "Two sessions of \(connection.redacted) led to different servers.",
                remedy: "Name only hosts of one cluster in the connection's URL.")
        }
    }

    private static let settingsQuery = """
        SELECT pg_catalog.max(setting) FILTER (WHERE name = 'wal_segment_size') AS segment_size,
            pg_catalog.max(setting) FILTER (WHERE name = 'wal_sender_timeout') AS sender_timeout
        FROM pg_catalog.pg_settings WHERE name IN ('wal_segment_size', 'wal_sender_timeout')
        """
}

extension PostgresSession {
    /// The state of a physical replication slot, or `nil` if there is no slot of this name.
    fileprivate func state(of slot: ReplicationSlotName) async throws -> WALReceptionSource.Slot? {
        let answer = try await query(
            """
            SELECT slot.slot_type, slot.restart_lsn, slot.wal_status, slot.active_pid,
                \(microseconds(of: "sender.reply_time")) AS replied_at
            FROM pg_catalog.pg_replication_slots AS slot LEFT JOIN pg_catalog.pg_stat_replication AS sender
                ON sender.pid OPERATOR(pg_catalog.=) slot.active_pid
            WHERE slot.slot_name OPERATOR(pg_catalog.=) $1
            """, [slot.description])
        guard let type = answer.value(0, "slot_type") else { return nil }
        guard type == "physical" else {
            throw BackupError(
                .serverRefused, "The replication slot '\(slot)' is a \(type) one, over which no WAL can be received.",
                remedy: "Name another with --slot.", unchanged: "The slot was not touched.")
        }
        return WALReceptionSource.Slot(
            keptFrom: answer.value(0, "restart_lsn").flatMap { LogSequenceNumber(parsing: $0) },
            hasLostWAL: answer.value(0, "wal_status") == "lost",
            holder: answer.value(0, "active_pid").flatMap { Int32($0) }.map {
                ReplicationSlotHolder(process: $0, lastReply: answer.time(0, "replied_at"))
            })
    }

    /// The standbys for which the server waits when it commits; a standby waits for none.
    ///
    /// - Throws: ``ErrorCode/serverUnsupported`` if `standby` is one of them and some commits wait until it has applied
    ///   them, which it never does.
    func synchronousStandbys(
        requiring standby: String, inRecovery: Bool
    ) async throws -> SynchronousStandbyNames {
        guard !inRecovery else { return SynchronousStandbyNames(parsing: "") }
        let answer = try await query(
            """
            SELECT pg_catalog.current_setting('synchronous_standby_names') AS names,
                pg_catalog.current_setting('synchronous_commit') = 'remote_apply' OR EXISTS (
                    SELECT FROM pg_catalog.pg_db_role_setting WHERE 'synchronous_commit=remote_apply' = ANY (setconfig)
                ) AS waits_for_ever
            """)
        let names = SynchronousStandbyNames(parsing: answer.value(0, "names") ?? "")
        guard !names.include(standby) || answer.value(0, "waits_for_ever") != "t" else {
            throw BackupError(
                .serverUnsupported, "The server waits for '\(standby)' to apply commits, which a receiver never does.",
                reason:
                    "synchronous_standby_names includes '\(standby)', and synchronous_commit is remote_apply, for the "
                    + "whole server or for a role or database",
                remedy:
                    "Set synchronous_commit to on (or remote_write) where it is remote_apply, or take '\(standby)' out "
                    + "of synchronous_standby_names: until then such commits hang.",
                unchanged: "Nothing was received.")
        }
        return names
    }

    /// Drops a slot; returns `false` if there is none.
    func dropSlot(_ slot: ReplicationSlotName) async throws -> Bool {
        guard try await state(of: slot) != nil else { return false }
        do {
            _ = try await query("SELECT pg_catalog.pg_drop_replication_slot($1)", [slot.description])
        } catch {
            let known = RunLog.describe(error)
            guard known.sqlstate == "55006" else { throw known }
            throw WALReception.slotTaken(slot, known).leaving("The slot was not dropped.")
        }
        return true
    }
}
