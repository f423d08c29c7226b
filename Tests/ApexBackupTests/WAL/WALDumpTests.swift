import BackupModel
import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

extension `Reading WAL beside pg_waldump` {
    /// Statements that write every kind of record that is reported, small and over many pages.
    fileprivate static let workload = [
        "CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY, v text)",
        "INSERT INTO t (v) SELECT repeat('x', g % 100) FROM generate_series(1, 3000) AS g",
        "BEGIN", "INSERT INTO t (v) VALUES ('gone')", "ROLLBACK",
        "BEGIN", "INSERT INTO t (v) VALUES ('p')", "SAVEPOINT s", "CREATE TABLE prepared (i int)",
        "PREPARE TRANSACTION 'one two'", "COMMIT PREPARED 'one two'",
        "BEGIN", "INSERT INTO t (v) VALUES ('p')", "SAVEPOINT s", "INSERT INTO t (v) VALUES ('q')",
        "PREPARE TRANSACTION 'second'", "ROLLBACK PREPARED 'second'",
        "BEGIN", "DROP TABLE prepared", "PREPARE TRANSACTION 'dropper'", "COMMIT PREPARED 'dropper'",
        "SELECT pg_create_restore_point('before the migration')",
        "SELECT pg_create_restore_point('naïve \"point\" é')",
        "SELECT pg_logical_emit_message(true, 'apex.heartbeat', '{\"seq\":1}')",
        "SELECT pg_logical_emit_message(false, 'other prefix', 'not transactional')",
        "SELECT pg_logical_emit_message(false, '', '')",
        "SELECT pg_logical_emit_message(true, 'big', repeat('0123456789', 5000))",
        "SELECT pg_logical_emit_message(true, 'huge', repeat('0123456789', 150000))",
        "INSERT INTO t (v) SELECT string_agg(md5(g::text), '') FROM generate_series(1, 20000) AS g",
        "CREATE INDEX ON t (id, length(v))",
        "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE \"in place\" LOCATION ''",
        "DROP TABLESPACE \"in place\"",
        "CHECKPOINT",
        "UPDATE t SET v = v || 'y' WHERE id % 3 = 0 AND length(v) < 200",
        "DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO t (v) VALUES (repeat('q', i)); COMMIT; END LOOP; END $$",
        "SELECT pg_switch_wal()",
        "INSERT INTO t (v) VALUES ('at the end')",
    ]
}

@Suite(.timeLimit(.minutes(30))) struct `Reading WAL beside pg_waldump` {
    private static let configuration = [
        "full_page_writes": "on", "max_prepared_transactions": "10", "autovacuum": "off", "wal_keep_size": "1GB",
        "checkpoint_timeout": "1h",
    ]

    @Test func `tells the same, on a primary and on a standby that was promoted`()
        async throws
    {
        try await PostgresCluster.with(configuration: Self.configuration) { primary in
            // The standby has of these settings what its copy of the configuration says.
            for setting in ["max_prepared_transactions = 10", "wal_keep_size = '1GB'", "autovacuum = off"] {
                try await primary.execute("ALTER SYSTEM SET \(setting)")
            }
            try await primary.execute("SELECT pg_switch_wal()")
            let start = try #require(
                LogSequenceNumber(parsing: try await primary.answer("SELECT pg_current_wal_lsn()") ?? ""))
            try await run(Self.workload, on: primary, at: primary.settings)
            let size = try await segmentSize(of: primary)
            let data = primary.server.dataDirectory
            try await primary.withStandby { standby in
                try await run(Self.workload, on: primary, at: primary.settings)
                try await compare(
                    primary, at: primary.settings, in: data, from: start, on: TimelineHistory(first: 1), size: size,
                    least: [
                        "COMMIT", "ABORT", "PREPARE", "RESTORE_POINT", "CHECKPOINT", "SWITCH", "MESSAGE", "TABLESPACE",
                    ])

                let written = try await primary.answer("SELECT pg_current_wal_flush_lsn()") ?? ""
                let session = try await primary.session(standby)
                let hasCaughtUp = try await eventually {
                    try await session.query("SELECT pg_last_wal_replay_lsn() >= '\(written)'").firstValue == "t"
                }
                await session.close()
                try #require(hasCaughtUp)
                let directory = "\(primary.server.directory)/standby"
                try await run(["SELECT pg_promote()"], on: primary, at: standby)
                try await run(Self.workload, on: primary, at: standby)
                try await switchFullPageWrites(on: primary, at: standby)
                let text = try String(
                    decoding: Data(contentsOf: URL(filePath: "\(directory)/pg_wal/00000002.history")), as: UTF8.self)
                let history = try TimelineHistory(timeline: 2, parsing: text)
                let beginning = try #require(history.ancestors.first?.end)
                try await compare(
                    primary, at: standby, in: directory, from: beginning, on: history, size: size,
                    least: ["COMMIT", "END_OF_RECOVERY", "FPW_CHANGE", "MESSAGE"])
            }
        }
    }

    private func run(
        _ statements: [String], on cluster: PostgresCluster, at settings: ConnectionSettings
    ) async throws {
        let session = try await cluster.session(settings)
        for statement in statements { try await session.execute(statement) }
        await session.close()
    }

    /// Switches `full_page_writes` off and on; each is written by the checkpointer, when it has read its configuration.
    private func switchFullPageWrites(on cluster: PostgresCluster, at settings: ConnectionSettings) async throws {
        let session = try await cluster.session(settings)
        for (value, answer) in [("off", "f"), ("on", "t")] {
            try await session.execute("ALTER SYSTEM SET full_page_writes = \(value)")
            try await session.execute("SELECT pg_reload_conf()")
            let isSwitched = try await eventually {
                try await session.execute("CHECKPOINT")
                return try await session.query("SELECT full_page_writes FROM pg_control_checkpoint()").firstValue
                    == answer
            }
            try #require(isSwitched)
        }
        await session.close()
    }

    private func segmentSize(of cluster: PostgresCluster) async throws -> WALSegmentSize {
        let bytes = try await cluster.answer(
            "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")
        return try #require(bytes.flatMap { Int($0) }.flatMap { WALSegmentSize(bytes: $0) })
    }

    /// Reads from the segment that holds `start` to what the server has flushed, with both.
    private func compare(
        _ cluster: PostgresCluster, at settings: ConnectionSettings, in directory: String,
        from start: LogSequenceNumber, on history: TimelineHistory, size: WALSegmentSize, least kinds: [String]
    ) async throws {
        let session = try await cluster.session(settings)
        let answer = try await session.query("SELECT pg_current_wal_flush_lsn()").firstValue
        await session.close()
        let end = try #require(answer.flatMap { LogSequenceNumber(parsing: $0) })
        var name = try #require(history.segment(size.number(containing: start), size: size))
        let first = name.start

        var reader = WALReader(from: first, checksums: .ofAllRecords)
        var found: [WALDumpLine] = []
        while name.start < end {
            let bytes = try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/pg_wal/\(name)")))
            let parsed = WALSegmentHeader(parsing: bytes.span)
            let header = try #require(parsed)
            try WALSegmentHeader.check(
                header, of: name, length: UInt64(bytes.count), expecting: header.systemIdentifier,
                ancestors: history.ancestorTimelines)
            reader.consume(bytes.span) { record in
                if record.end <= end { found.append(WALDumpLine(record)) }
            }
            name = try #require(history.segment(name.number + 1, size: size))
        }
        #expect(reader.finish().position >= end)

        let dump = ChildCommand(
            cluster.tools.path(of: "pg_waldump"),
            arguments: [
                "--path=\(directory)/pg_wal", "--timeline=\(history.timeline)", "--start=\(first)", "--end=\(end)",
            ], environment: ["LC_ALL": "C", "TZ": "UTC"], workingDirectory: "/")
        let (outcome, text) = try await capture(dump, limit: 256 << 20)
        try requireSuccess(outcome, of: dump)
        let expected = text.split(separator: "\n").compactMap { WALDumpLine(parsing: $0) }
        #expect(found.count == expected.count)
        let difference = zip(found, expected).first { $0 != $1 }.map { "\($0), and pg_waldump: \($1)" }
        #expect(difference == nil)
        for kind in kinds { #expect(found.contains { $0.text.hasPrefix(kind) }, "no \(kind)") }
    }
}
