import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite(.timeLimit(.minutes(10))) struct `A drill's server` {
    private func prove(_ isolation: DrillIsolation, of server: ScratchServer) async throws -> [String] {
        try await PostgresSession.with(server.settings, applicationName: "a drill", timeout: .seconds(60)) {
            try await isolation.prove(in: $0)
        }
    }

    @Test func `is started with what isolates it, and asked for it`() async throws {
        let tools = try await PostgresCluster.shared().tools
        let directory = PostgresCluster.temporaryPath("isolated")
        let isolation = DrillIsolation(directory: directory, major: tools.major)
        var options = ScratchServer.Options()
        options.configuration = isolation.configuration
        let server = try await ScratchServer.start(
            binDirectory: tools.directory, directory: directory, options: options)
        let proof: Result<[String], any Error>
        do { proof = .success(try await prove(isolation, of: server)) } catch { proof = .failure(error) }
        try await server.destroy()
        let lines = try proof.get()
        #expect(lines.count == IsolationSetting.all(ofMajor: tools.major).count)
        #expect(lines.contains("data_directory = '\(directory)/data': it runs on data of its own"))
        #expect(lines.contains { $0.hasPrefix("archive_mode = 'off': ") })
    }

    @Test func `that runs with anything else is refused, with the setting's name`() async throws {
        try await PostgresCluster.with(configuration: ["primary_conninfo": "host=production"]) { cluster in
            let isolation = DrillIsolation(directory: cluster.server.directory, major: cluster.tools.major)
            let error = try await requireFailure { try await prove(isolation, of: cluster.server) }
            #expect(error.code == .targetUnsuitable)
            #expect(error.reason?.contains("primary_conninfo is 'host=production' and must be ''") == true)
            #expect(error.reason?.contains("archive_mode") == false)
        }
    }

    @Test func `that does not know a setting is refused`() throws {
        let isolation = DrillIsolation(directory: "/scratch", major: 15)
        var answers = isolation.configuration
        #expect(throws: Never.self) { try isolation.judge(answers) }
        answers["archive_mode"] = nil
        let error = #expect(throws: BackupError.self) { try isolation.judge(answers) }
        #expect(error?.reason?.hasPrefix("archive_mode is not known to it") == true)
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
