import BackupModel
import Glibc
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@Suite struct `Connecting` {
    private func connectError(_ settings: ConnectionSettings, timeout: Duration = .seconds(60)) async -> BackupError? {
        await #expect(throws: BackupError.self) {
            try await PostgresSession.connect(settings, applicationName: "tests", timeout: timeout)
        }
    }

    @Test func `says which name it connects under`() async throws {
        let cluster = try await PostgresCluster.shared()
        let session = try await PostgresSession.connect(
            cluster.settings, applicationName: "night shift", timeout: .seconds(60))
        #expect(try await session.query("SHOW application_name").firstValue == "night shift")
        #expect(try await session.query("SHOW client_encoding").firstValue == "UTF8")
        #expect(await session.serverVersionNumber >= 140_000)
        #expect(await session.parameter("server_encoding") == "UTF8")
        await session.close()
        let error = await #expect(throws: BackupError.self) { try await session.execute("SELECT 1") }
        #expect(error?.code == .serverConnectionLost)
    }

    @Test func `with a wrong or missing password is an authentication failure that does not show it`() async throws {
        try await PostgresCluster.with { cluster in
            try await cluster.execute("CREATE ROLE limited LOGIN PASSWORD 'right'")
            try await cluster.execute(
                """
                COPY (VALUES ('local all limited scram-sha-256'), ('local all all trust'))
                    TO \(quoteLiteral("\(cluster.server.dataDirectory)/pg_hba.conf"));
                SELECT pg_reload_conf()
                """)
            let text = "host=\(cluster.server.directory) port=5432 dbname=postgres user=limited"
            let isInForce = await eventually {
                let session = try? await cluster.session(try ConnectionSettings(parsing: text))
                await session?.close()
                return session == nil
            }
            #expect(isInForce)
            let wrong = await connectError(try ConnectionSettings(parsing: "\(text) password=s3cret"))
            #expect(wrong?.code == .authenticationFailed)
            #expect(wrong?.sqlstate == "28P01")
            #expect(wrong?.description.contains("s3cret") == false)
            let missing = await connectError(try ConnectionSettings(parsing: text))
            #expect(missing?.code == .authenticationFailed)
            let right = try await cluster.session(try ConnectionSettings(parsing: "\(text) password=right"))
            await right.close()
        }
    }

    @Test func `to no such host, a closed port or a missing socket finds nothing`() async throws {
        for place in ["host=no-such-host.invalid", "host=127.0.0.1 port=1", "host=/nowhere"] {
            let error = await connectError(try ConnectionSettings(parsing: "\(place) user=app password=s3cret"))
            #expect(error?.code == .serverUnreachable)
            #expect(error?.reason?.isEmpty == false)
            #expect(error?.description.contains("s3cret") == false)
        }
    }

    @Test func `to a missing database or role is refused with the server's words`() async throws {
        let cluster = try await PostgresCluster.shared()
        let database = await connectError(cluster.settings.with(database: "no such database"))
        #expect(database?.code == .serverRefused)
        #expect(database?.reason?.hasPrefix("3D000: ") == true)
        let role = try ConnectionSettings(parsing: "host=\(cluster.server.directory) user=nobody_here")
        #expect(await connectError(role)?.code == .authenticationFailed)
    }

    @Test func `without the right to connect is a lack of permission`() async throws {
        let cluster = try await PostgresCluster.shared()
        try await cluster.withDatabase { settings in
            let name = try #require(settings.database)
            try await cluster.execute("REVOKE CONNECT ON DATABASE \(name) FROM PUBLIC; CREATE ROLE \(name) LOGIN")
            let text = "host=\(cluster.server.directory) user=\(name) dbname=\(name)"
            #expect(await connectError(try ConnectionSettings(parsing: text))?.code == .permissionDenied)
            try await cluster.execute("DROP ROLE \(name)")
        }
    }

    @Test func `to a server that accepts and says nothing ends in time, and goes to the next host`() async throws {
        try await PostgresCluster.with { frozen in
            let cluster = try await PostgresCluster.shared()
            kill(frozen.server.processIdentifier, SIGSTOP)
            defer { kill(frozen.server.processIdentifier, SIGCONT) }
            let error = await connectError(frozen.settings, timeout: .milliseconds(300))
            #expect(error?.code == .serverUnreachable)
            #expect(error?.reason == "no answer within 300 ms")
            let both = try ConnectionSettings(
                parsing: "host=\(frozen.server.directory),\(cluster.server.directory) user=postgres dbname=postgres")
            let session = try await PostgresSession.connect(both, applicationName: "tests", timeout: .seconds(60))
            #expect(try await session.query("SHOW unix_socket_directories").firstValue == cluster.server.directory)
            await session.close()
        }
    }
}
