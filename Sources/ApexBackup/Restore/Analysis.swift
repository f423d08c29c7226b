import PostgresAccess
import Synchronization

/// Gathers the planner's statistics of a whole database in several sessions, the largest tables first.
///
/// Partitions are analysed with their table, whose own statistics no one else gathers: autovacuum does not.
struct Analysis {
    let target: TargetServer
    let jobs: Int

    func run(in database: String) async throws {
        let tables = try await target.withSession(in: database) { session in
            try await session.query(
                """
                SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind IN ('r', 'm', 'p') AND NOT relispartition AND relpersistence <> 't' AND NOT relisshared
                ORDER BY relpages DESC, 1
                """
            ).rows.compactMap { $0[0] }
        }
        let cursor = Cursor()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<max(1, min(jobs, tables.count)) {
                group.addTask { [target] in
                    try await target.withSession(in: database) { session in
                        while true {
                            let index = cursor.next()
                            guard index < tables.count else { return }
                            try await session.execute("ANALYZE \(tables[index])")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

/// Hands out the numbers 0, 1, 2 and so on, each once.
private final class Cursor: Sendable {
    private let number = Atomic(0)

    func next() -> Int { number.wrappingAdd(1, ordering: .relaxed).oldValue }
}
