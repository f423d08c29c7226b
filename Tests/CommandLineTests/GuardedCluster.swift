import PostgresAccess
import TestSupport

/// A second cluster, with roles that need a password or lack rights, and a pooler before it.
struct GuardedCluster: Sendable {
    static let password = "geheim-8c31-ßecret"
    static let encodedPassword = "geheim-8c31-%C3%9Fecret"
    let cluster: PostgresCluster
    private let pooler: RunningCommand

    /// A URL that goes through the pooler.
    var pooledURL: String { cluster.url("app", user: "postgres", port: 6432) }

    static func shared() async throws -> GuardedCluster { try await only.value }

    private static let only = Task {
        let cluster = try await PostgresCluster.start()
        try await cluster.execute("CREATE DATABASE app")
        try await cluster.execute("CREATE ROLE locked LOGIN SUPERUSER PASSWORD '\(password)'")
        try await cluster.execute("CREATE ROLE modest LOGIN; CREATE ROLE outsider LOGIN")
        try await cluster.execute("CREATE DATABASE closed")
        try await cluster.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        try await cluster.execute("CREATE TABLE t AS SELECT generate_series(1, 50) AS id", database: "app")
        try await write(
            ["local all locked scram-sha-256", "local all all trust"], to: "data/pg_hba.conf", of: cluster)
        try await write(
            [
                "[databases]", "* = host=\(cluster.directory) port=5432 user=postgres", "[pgbouncer]",
                "listen_port = 6432", "unix_socket_dir = \(cluster.directory)", "auth_type = any",
                "pool_mode = transaction",
            ], to: "pgbouncer.ini", of: cluster)
        try await cluster.execute("SELECT pg_reload_conf()")
        var pgbouncer = CommandLineTool(executable: "/usr/sbin/pgbouncer")
        pgbouncer.userName = "postgres"
        let pooler = try await pgbouncer.start(["\(cluster.directory)/pgbouncer.ini"])
        let pooled = try ConnectionSettings(parsing: cluster.url("postgres", user: "postgres", port: 6432))
        guard await eventually({ (try? await cluster.session(pooled).close()) != nil }) else {
            throw CancellationError()
        }
        return GuardedCluster(cluster: cluster, pooler: pooler)
    }

    private static func write(_ lines: [String], to name: String, of cluster: PostgresCluster) async throws {
        let values = lines.map { "('\($0)')" }.joined(separator: ", ")
        try await cluster.execute("COPY (VALUES \(values)) TO '\(cluster.directory)/\(name)'")
    }
}
