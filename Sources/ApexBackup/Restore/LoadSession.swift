import BackupModel
import PostgresAccess

/// The session in which pg_restore brings tables in one transaction, by a name that no other session has.
///
/// The server may be at work in it when the program has failed or was killed. A commit that waits for a synchronous
/// standby is made already, and nobody sees it while it waits.
struct LoadSession: Sendable {
    let target: TargetServer
    let database: String
    /// Its `application_name`.
    let name: String

    init(into database: String, of target: TargetServer, environment: BackupEnvironment) {
        self.target = target
        self.database = database
        name = "apex-backup \(environment.makeRunID())"
    }

    /// Whether the database has a table, once this session has ended, which is ended if it is still there; `nil` if the
    /// server does not say.
    ///
    /// Asked also when this task was told to stop.
    func leaves(_ table: String, in schema: String) async -> Bool? {
        await Task {
            do {
                return try await target.withSession(in: database) { session in
                    guard try await hasEnded(askedIn: session) else { return nil }
                    let found = try await session.query(
                        """
                        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = $2
                        """, [schema, table])
                    return !found.rows.isEmpty
                }
            } catch {
                return nil
            }
        }.value
    }

    /// Ends it, and waits ten seconds at most.
    private func hasEnded(askedIn session: PostgresSession) async throws -> Bool {
        let own = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
        _ = try await session.query("SELECT pg_terminate_backend(pid, 10000) \(own)", [name])
        return try await session.query("SELECT count(*) \(own)", [name]).firstValue == "0"
    }
}
