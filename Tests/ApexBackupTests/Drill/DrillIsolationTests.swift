import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite(.timeLimit(.minutes(30))) struct `A drill's server` {
    private func overlay(_ major: Int, in directory: String) -> CloneOverlay {
        CloneOverlay(
            of: .init(
                major: major, origin: .initialised, dataDirectory: "\(directory)/data", socketDirectory: directory,
                clusterName: "a drill", sharedBuffers: 128))
    }

    private func prove(_ overlay: CloneOverlay, of server: ScratchServer) async throws -> [String] {
        try await PostgresSession.with(server.settings, applicationName: "a drill", timeout: .seconds(60)) {
            try overlay.proof(from: try await $0.answers(to: overlay))
        }
    }

    @Test func `is started with what isolates it, and asked for it`() async throws {
        let tools = try await PostgresCluster.shared().tools
        let directory = PostgresCluster.temporaryPath("isolated")
        let overlay = overlay(tools.major, in: directory)
        var options = ScratchServer.Options()
        options.configuration = overlay.configuration
        let server = try await ScratchServer.start(
            binDirectory: tools.directory, directory: directory, options: options)
        let proof: Result<[String], any Error>
        do { proof = .success(try await prove(overlay, of: server)) } catch { proof = .failure(error) }
        try await server.destroy()
        let lines = try proof.get()
        #expect(lines.count == overlay.entries.count)
        #expect(lines.contains("data_directory = '\(directory)/data': it runs on data of its own"))
        #expect(lines.contains { $0.hasPrefix("archive_mode = 'off': ") })
    }

    @Test func `that runs with anything else is refused, with the setting's name`() async throws {
        try await PostgresCluster.with(configuration: ["primary_conninfo": "host=production"]) { cluster in
            let overlay = overlay(cluster.tools.major, in: cluster.server.directory)
            let error = try await requireFailure { try await prove(overlay, of: cluster.server) }
            #expect(error.code == .targetUnsuitable)
            #expect(error.reason?.contains("primary_conninfo is 'host=production' and must be ''") == true)
            #expect(error.reason?.contains("archive_mode") == false)
        }
    }
}

@Suite struct `The evidence of an HTTP check` {
    @Test(arguments: [
        ("http://app:8080/health", "http://app:8080/health"),
        ("https://user:s3cret@app/health?token=s3cret#s3cret", "https://app/health"),
        ("http://a@b:s3cret@app", "http://app"), ("http://app/with@sign", "http://app/with@sign"),
    ])
    func `names the place without what may be secret`(_ url: String, _ place: String) {
        #expect(HTTPProbe(url: url, timeout: .seconds(1)).place == place)
    }

    @Test func `and so does its failure`() async throws {
        let probe = HTTPProbe(url: "http://user:s3cret@127.0.0.1:1/health?token=s3cret", timeout: .seconds(5))
        let error = try await requireFailure { try await probe.status() }
        #expect(error.message == "GET http://127.0.0.1:1/health had no answer.")
        #expect(!"\(error)".contains("s3cret"))
    }
}
