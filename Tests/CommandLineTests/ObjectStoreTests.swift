import BackupStorage
import Dispatch
import FoundationEssentials
import Glibc
import Synchronization
import TestSupport
import Testing

/// A repository in a real object store, by the program itself.
@Suite(.serialized, .needsPhysicalBackups, .needsObjectStores, .timeLimit(.minutes(30)))
struct `A repository in an object store` {
    @Test(arguments: ["SeaweedFS", "rclone"])
    func `serves every command as a directory does, also where writes have no conditions`(name: String) async throws {
        let store = try await name == "rclone" ? ObjectStore.rclone() : ObjectStore.seaweedFS()
        try await ArchivingCluster.with(store: store) { place in
            let cluster = place.cluster
            let checked = try await place.succeed("init", "--check", "--json").json()
            #expect(checked["isNew"] == .bool(false))
            #expect(checked["storageViolations"] == .array([]))
            #expect(checked["repository"]?.text?.hasPrefix("s3://apex/") == true)

            try await cluster.execute("CREATE TABLE t (n int)")
            func backUp(_ kind: String) async throws -> String {
                try #require(try await place.succeed("backup", "--kind", kind, "--json").json()["id"]?.text)
            }
            let first = try await backUp("logical")
            let physical = try await backUp("physical")
            let segment = try await place.writeSegment(rows: 3)
            try await place.waitUntilArchived(segment)
            let second = try await backUp("logical")
            try await place.succeed("verify", "--all", "--level", "deep")
            try await place.succeed("wal", "index")
            #expect(try await place.succeed("wal", "status").standardOutput.contains(": ok"))
            try await checkDoctor(place)
            try await checkSegments(segment, place)

            #expect(try await place.recovered("--to", "latest", "--stage-wal") == "1 2 3")
            // Started without a variable, the server finds store and credentials by its command alone.
            #expect(try await place.recovered("--to", "latest") == "1 2 3")
            try await place.succeed(
                "restore", second, "--database", "postgres", "--to", cluster.url("copy"))
            #expect(try await cluster.answer("SELECT count(*) FROM t", database: "copy") == "3")

            let pruned = try await place.succeed(
                "prune", "--last", "1", "--minimum", "1", "--apply", "--json"
            ).json()
            #expect(pruned["removed"]?.elements.compactMap(\.text) == [first])
            let left = try await place.succeed("list", "--json").json().elements
            #expect(left.compactMap { $0["id"]?.text } == [physical, second])
            try await checkLeftovers(place, store)
        }
    }

    /// What a backup has left that was killed before it had a single object is found, and removed.
    private func checkLeftovers(_ place: ArchivingCluster, _ store: ObjectStore) async throws {
        func finding() async throws -> JSONValue? {
            try await place.tool.run("doctor", "--no-storage-check", "--no-round-trip", "--json").json().elements.first
            {
                $0["code"]?.text == "object-store"
            }
        }
        try await store.beginUpload(
            "clusters/apex/backups/20200101T000000Z-7f3a/db-1.dump.gz",
            below: String(place.cluster.directory.split(separator: "/").last ?? ""))
        let found = try await finding()
        #expect(found?["level"]?.text == "note")
        #expect(found?["found"]?.text == "There is 1 unfinished upload in the object store.")
        try await place.succeed("prune", "--last", "1", "--minimum", "1", "--apply")
        #expect(try await finding()?["level"]?.text == "ok")
    }

    /// The path of a policy that leads to the store through a proxy.
    private func policy(
        of place: ArchivingCluster, with store: ObjectStore, behind proxy: FaultProxy
    ) throws -> String {
        let path = "\(place.cluster.directory)/proxied.yaml"
        let policy = try String(contentsOf: URL(filePath: place.policy), encoding: .utf8)
        try Data(policy.replacing(store.endpoint, with: proxy.endpoint).utf8).write(to: URL(filePath: path))
        return path
    }

    @Test func `lets doctor say of the store, and not of the server, what the store refuses`() async throws {
        let store = try await ObjectStore.seaweedFS()
        try await ArchivingCluster.with(archives: false, store: store) { place in
            let proxy = try FaultProxy(to: store.port) { request in
                request.target.contains("uploads=")
                    ? .answer("403 Forbidden", body: "<Error><Code>AccessDenied</Code></Error>") : .pass
            }
            defer { proxy.stop() }
            let findings = try await place.tool.run(
                "doctor", "--policy", try policy(of: place, with: store, behind: proxy), "--no-storage-check",
                "--no-round-trip", "--json"
            ).json().elements
            let refused = findings.first { $0["code"]?.text == "object-store" }
            #expect(refused?["level"]?.text == "error")
            #expect(refused?["why"]?.text == "the store answered 403 AccessDenied")
            #expect(!findings.contains { $0["code"]?.text == "server-refused" })
        }
    }

    @Test func `ends the upload of a backup that is asked to stop`() async throws {
        let store = try await ObjectStore.seaweedFS()
        try await ArchivingCluster.with(archives: false, store: store) { place in
            // No two bytes of it say anything of each other, so that a dump has several parts.
            try await place.cluster.execute(
                "CREATE TABLE t AS SELECT decode(md5(n::text) || md5((-n)::text), 'hex') FROM generate_series(1, 400000) n"
            )
            let released = DispatchSemaphore(value: 0)
            let held = Atomic(false)
            let proxy = try FaultProxy(to: store.port) { request in
                if request.target.contains("partNumber=") {
                    held.store(true, ordering: .relaxed)
                    _ = released.wait(timeout: .now() + 300)
                }
                return .pass
            }
            defer {
                for _ in 0..<100 { released.signal() }
                proxy.stop()
            }
            let slow = try policy(of: place, with: store, behind: proxy)
            let backup = try await place.tool.start(["backup", "--policy", slow, "--json"])
            #expect(await eventually { held.load(ordering: .relaxed) })
            let storage = try store.storage(String(place.cluster.directory.split(separator: "/").last ?? ""))
            #expect(try await onThread { try storage.temporaryFiles(under: nil).count } == 1)
            backup.send(SIGTERM)
            let output = try await backup.output()
            #expect(output.status == 1)
            #expect(try output.json()["error"]?["code"]?.text == "interrupted")
            #expect(try await onThread { try storage.temporaryFiles(under: nil) } == [])
            #expect(try await place.succeed("list", "--json").json() == .array([]))
        }
    }

    @Test func `tells where a restored server gets its credentials from, and writes none of them down`() async throws {
        let store = try await ObjectStore.seaweedFS()
        try await ArchivingCluster.with(store: store) { place in
            let cluster = place.cluster
            try await place.succeed("backup", "--kind", "physical")
            try await place.waitUntilArchived(try await place.writeSegment(rows: 2))
            let restored = "\(cluster.directory)/restored"
            let plan = ["restore", "--to", "latest", "--to", restored, "--dry-run"]

            let byProfile = try await place.tool.run(plan + ["--json"]).json()
            let file = "\(cluster.directory)/.aws/credentials"
            #expect(byProfile["credentials"]?.text == "the profile 'default' in '\(file)'")
            #expect(byProfile["neededVariables"] == .array([]))

            let keys = ["AWS_ACCESS_KEY_ID": store.accessKey, "AWS_SECRET_ACCESS_KEY": store.secretKey]
            var tool = place.tool
            tool.environment["HOME"] = "/nonexistent"
            tool.environment.merge(keys) { $1 }
            let text = try await tool.run(plan).standardOutput
            #expect(text.contains("credentials     the server gets them from the environment\n"), "\(text)")
            #expect(
                text.contains(
                    "environment     AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY must be in that of the server until it has "
                        + "recovered\n"), "\(text)")
            let output = try await tool.run("restore", "--to", "latest", "--to", restored, "--json")
            try #require(output.status == 0, "\(output.standardError)")
            #expect(
                try output.json()["neededVariables"]
                    == .array([.string("AWS_ACCESS_KEY_ID"), .string("AWS_SECRET_ACCESS_KEY")]))
            let settings = try String(
                contentsOf: URL(filePath: "\(restored)/postgresql.auto.conf"), encoding: .utf8)
            #expect(settings.contains("AWS_REGION=us-east-1 "))
            #expect(!settings.contains(store.secretKey) && !settings.contains(store.accessKey))
            try await cluster.withServer(on: restored, ["fsync": "off"], port: 5434, environment: keys) { server in
                let isPromoted = try await eventually {
                    try await cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
                }
                #expect(isPromoted)
                #expect(try await cluster.answer("SELECT count(*) FROM t", at: server) == "2")
            }
            try FileManager.default.removeItem(atPath: restored)

            let started = try await tool.run("restore", "--to", "latest", "--to", restored, "--start", "--json")
            try #require(started.status == 0, "\(started.standardError)")
            #expect(try started.json()["recovery"]?["state"]?.text == "promoted")
            var control = CommandLineTool(executable: "\(cluster.programs)/pg_ctl")
            control.userName = "postgres"
            let stopped = try await control.run("-D", restored, "-m", "fast", "-w", "stop")
            #expect(stopped.status == 0, "\(stopped.standardError)")
        }
    }

    /// The store is one of the findings, and the promises that it keeps.
    private func checkDoctor(_ place: ArchivingCluster) async throws {
        let findings = try await place.tool.run("doctor", "--no-round-trip", "--json").json()
        func level(_ code: String) -> String? {
            findings.elements.first { $0["code"]?.text == code }?["level"]?.text
        }
        #expect(level("repository") == "ok")
        #expect(level("object-store") == "ok")
        #expect(level("storage-contract") == "ok")
    }

    /// `wal get` tells what is absent from what is not known, in an object store too.
    private func checkSegments(_ segment: String, _ place: ArchivingCluster) async throws {
        let identifier = try #require(
            try await place.cluster.answer("SELECT system_identifier FROM pg_control_system()"))
        func get(
            _ name: String, with variables: [String: String] = [:], _ more: String...
        ) async throws -> CommandLineTool.Output {
            var tool = place.tool
            tool.environment.merge(variables) { $1 }
            return try await tool.run(
                ["wal", "get", "--mode", "recovery", "--prefetch", "0", "--system-identifier", identifier] + more
                    + [name, "\(place.cluster.directory)/brought"])
        }
        #expect(try await get(segment).status == 0)
        #expect(try await get("0000000100000000000000FF").status == 1)
        let stranger = ["AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "s3cret-of-nobody"]
        let refused = try await get("0000000100000000000000FF", with: stranger)
        #expect(refused.status == 126)
        #expect(refused.standardError.contains("InvalidAccessKeyId"))
        #expect(!refused.standardError.contains("s3cret-of-nobody"))
    }
}
