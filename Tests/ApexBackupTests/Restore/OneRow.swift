import PostgresAccess
import TestSupport
import Testing

/// Runs `body` with the backup of a database that has one row in `t`, and a place for it that does not exist yet.
///
/// `server` is the one that tests share, unless given.
func withOneRow(
    on server: PostgresCluster? = nil,
    _ body: (PostgresCluster, ScratchRepository, ConnectionSettings) async throws -> Void
) async throws {
    let shared = try await PostgresCluster.shared()
    let server = server ?? shared
    try await server.withDatabase { database in
        try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
        let scratch = try await ScratchRepository(for: server)
        _ = try await scratch.backup(try #require(database.database))
        try await server.withUnusedName { place in try await body(server, scratch, place) }
    }
}

/// As `withOneRow`, with a place that exists, is used by nobody and holds a table `precious` that a restore has to keep.
func withOneRowAndPlace(
    on server: PostgresCluster? = nil,
    _ body: (PostgresCluster, ScratchRepository, ConnectionSettings) async throws -> Void
) async throws {
    try await withOneRow(on: server) { server, scratch, place in
        try await server.execute("CREATE DATABASE \(try #require(place.database)) TEMPLATE template0")
        try await server.execute("CREATE TABLE precious AS SELECT 7 AS n", in: place)
        #expect(try await server.waitUntilUnused(place))
        try await body(server, scratch, place)
    }
}

/// Expects the place to hold what it held, and no other database to have been left beside it.
func expectPrecious(_ server: PostgresCluster, _ place: ConnectionSettings) async throws {
    #expect(try await server.firstValue("SELECT n FROM precious", in: place) == "7")
    let name = try #require(place.database)
    let databases = try await server.databases()
    #expect(databases.filter { $0.hasPrefix(name) } == [name])
}
