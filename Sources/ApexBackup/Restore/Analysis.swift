import BackupModel
import PostgresAccess
import Synchronization

/// Gathers the planner's statistics in several sessions.
///
/// What the server refuses to analyse is told and keeps nothing else from being analysed: the data is there without it.
struct Analysis {
    let target: TargetServer
    let jobs: Int

    /// Analyses the tables of a database, the partitioned first, then the largest; returns what to tell of those that
    /// were not.
    ///
    /// With `names`, which are quoted as SQL needs them, only these tables and those they are partitions of.
    /// Partitions are analysed with their table, whose own statistics no one else gathers: autovacuum does not. A table
    /// that has foreign ones below it is left out, and what is local below it is not: nothing here asks other servers.
    func run(in database: String, only names: [String]? = nil) async throws -> [String] {
        let query = Self.tables(names)
        let found = try await target.withSession(in: database) { try await $0.query(query).rows }
        let foreign = found.filter { $0[1] == "t" }.compactMap { $0[0] }
        let warnings = try await run(on: found.filter { $0[1] == "f" }.compactMap { $0[0] }, in: database)
        guard !foreign.isEmpty else { return warnings }
        return warnings + [
            "no ANALYZE of \(Self.firstTen(foreign)), which has foreign tables below it: that "
                + "would ask their servers; run it by hand"
        ]
    }

    private static func tables(_ names: [String]?) -> String {
        let chosen = names.map { names in
            let list = names.map(quoteLiteral).joined(separator: ", ")
            return "AND coalesce(pg_partition_root(c.oid), c.oid) IN "
                + "(SELECT coalesce(pg_partition_root(t), t) FROM unnest(ARRAY[\(list)]::regclass[]) t)"
        }
        return """
            WITH RECURSIVE foreign_below AS (
                SELECT inhparent AS oid FROM pg_inherits JOIN pg_class f ON f.oid = inhrelid WHERE f.relkind = 'f'
                UNION SELECT inhparent FROM pg_inherits JOIN foreign_below b ON inhrelid = b.oid)
            SELECT format('%I.%I', nspname, relname), c.oid IN (SELECT oid FROM foreign_below)
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind IN ('r', 'm', 'p') AND relpersistence <> 't' AND NOT relisshared
                AND (NOT relispartition OR c.oid NOT IN (SELECT oid FROM foreign_below) AND c.oid IN (
                    SELECT inhrelid FROM pg_inherits WHERE inhparent IN (SELECT oid FROM foreign_below)))
                \(chosen ?? "")
            ORDER BY relkind = 'p' DESC, pg_relation_size(c.oid) DESC NULLS LAST, 1
            """
    }

    private func run(on tables: [String], in database: String) async throws -> [String] {
        let cursor = Cursor()
        let failures = try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<max(1, min(jobs, tables.count)) {
                group.addTask { [target] in
                    try await target.withSession(in: database) { session in
                        var failures: [String] = []
                        while true {
                            let index = cursor.next()
                            guard index < tables.count else { return failures }
                            failures += try await Self.analyze(tables[index], in: session)
                        }
                    }
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        guard !failures.isEmpty else { return [] }
        return [
            "ANALYZE failed for \(Self.firstTen(failures)): all data is there, but the planner "
                + "lacks statistics; mend what the server names, and run ANALYZE by hand"
        ]
    }

    private static func firstTen(_ names: [String]) -> String {
        names.prefix(10).joined(separator: ", ") + (names.count > 10 ? " and \(names.count - 10) more" : "")
    }

    /// What failed; partitions are then tried one by one, as the first that fails keeps the server from the others.
    private static func analyze(_ table: String, in session: PostgresSession) async throws -> [String] {
        guard let failure = try await failure(of: table, in: session) else { return [] }
        let partitions = try await session.query(
            """
            SELECT format('%I.%I', nspname, relname) FROM pg_partition_tree($1::regclass)
            JOIN pg_class c ON c.oid = relid JOIN pg_namespace n ON n.oid = relnamespace WHERE level > 0
            ORDER BY isleaf, level
            """, [table]
        ).rows.compactMap { $0[0] }
        var failures = [failure]
        for partition in partitions {
            if let failure = try await self.failure(of: partition, in: session) { failures.append(failure) }
        }
        return failures
    }

    /// The table and the server's words when it refuses; a session that is lost or stopped is an error.
    private static func failure(of table: String, in session: PostgresSession) async throws -> String? {
        do {
            try await session.execute("ANALYZE \(table)")
            return nil
        } catch let error as BackupError where error.code == .queryFailed || error.code == .permissionDenied {
            return "\(table) (\(error.reason ?? error.message))"
        }
    }
}

/// Hands out the numbers 0, 1, 2 and so on, each once.
private final class Cursor: Sendable {
    private let number = Atomic(0)

    func next() -> Int { number.wrappingAdd(1, ordering: .relaxed).oldValue }
}
