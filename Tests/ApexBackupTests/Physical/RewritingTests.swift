import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// Restores over a data directory that is there, and restores that find no room.
///
/// One after the other: each starts servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `A restore over the same cluster` {
    /// A cluster with rows and a tablespace, a backup of it, and the same restored twice: as `restored` with `space`, and
    /// copied as `fresh` with `fresh-space`.
    private struct Place {
        let cluster: PostgresCluster
        let scratch: ScratchRepository
        let backup: BackupManifest

        var folder: String { cluster.server.directory }
        var restored: String { "\(folder)/restored" }

        static func with(_ body: (Place) async throws -> Void) async throws {
            try await PostgresCluster.with { cluster in
                let folder = cluster.server.directory
                try await runScript(
                    "mkdir \"$1/source\" && chown --reference=\"$2\" \"$1/source\"", folder,
                    cluster.server.dataDirectory)
                try await cluster.execute(
                    """
                    CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, 100000) AS n;
                    CREATE TABLE u AS SELECT n FROM generate_series(1, 1000) AS n
                    """)
                try await cluster.execute("CREATE TABLESPACE space LOCATION '\(folder)/source'")
                try await cluster.execute(
                    "CREATE TABLE elsewhere TABLESPACE space AS SELECT generate_series(1, 5000) AS n")
                let scratch = try await ScratchRepository(for: cluster)
                let backup = PhysicalBackup(
                    repository: scratch.repository, connection: cluster.settings, request: .init(settings: .init()))
                let place = Place(
                    cluster: cluster, scratch: scratch, backup: try await onOwnThreads { try await backup.run() })
                #expect(try await place.restore(rewrites: true).plan.rewrite == nil)
                try await runScript(
                    "cd \"$1\" && cp -a restored fresh && cp -a space fresh-space", folder)
                try await body(place)
            }
        }

        func prepared(
            into directory: String? = nil, rewrites: Bool, space: String = "space"
        ) throws -> (restore: PhysicalRestore, prepared: PhysicalRestore.Prepared) {
            var request = PhysicalRestore.Request(
                backup: backup.id.text, moment: .immediate, directory: directory ?? restored, jobs: 3)
            request.rewritesExisting = rewrites
            for tablespace in backup.physical?.tablespaces ?? [] {
                request.tablespaces.named["\(tablespace.oid)"] = "\(folder)/\(space)"
            }
            let restore = PhysicalRestore(repository: scratch.repository, request: request)
            return (restore, try restore.prepare())
        }

        @discardableResult
        func restore(
            into directory: String? = nil, rewrites: Bool, space: String = "space"
        ) async throws -> PhysicalRestore.Result {
            let (restore, prepared) = try prepared(into: directory, rewrites: rewrites, space: space)
            return try await onOwnThreads { try await restore.run(prepared) }
        }

        /// Where `restored` is another than a fresh restore.
        func differences() async throws -> String {
            let script = """
                list() (
                    cd "$1" && find . -type f -printf '%P %m %u %s\\n' -o -type l -printf '%P -> %l\\n' \
                        -o -printf '%P %y %m %u\\n' | sort
                    find . -type f -print0 | sort -z | xargs -0 sha256sum
                )
                cd "$1"
                for name in restored:fresh space:fresh-space; do
                    list "${name#*:}" >expected && list "${name%:*}" | diff expected - ; rm expected
                done
                """
            return try await runScript(script, folder).output
        }

        /// Changes `restored` and its tablespace with a server of its own.
        func change() async throws {
            try await cluster.withServer(on: restored, ["wal_keep_size": "1GB"]) { server in
                #expect(
                    await eventually {
                        (try? await cluster.answer("SELECT pg_is_in_recovery()", at: server)) == "f"
                    })
                for sql in [
                    "UPDATE t SET text = 'changed' WHERE n % 100 = 0", "TRUNCATE u",
                    "CREATE TABLE new AS SELECT 1 AS n",
                    "CREATE DATABASE other", "INSERT INTO elsewhere VALUES (1)", "SELECT pg_switch_wal()",
                    "INSERT INTO elsewhere VALUES (2)", "CHECKPOINT",
                ] { try await cluster.execute(sql, in: server) }
            }
        }
    }

    @Test func `is as a fresh one, whatever has become of the directory`() async throws {
        try await Place.with { place in
            let outside = "\(place.folder)/outside"
            try await place.change()
            // One is archived as it is, another with other content: that is no copy of it.
            let list = "cd \"$1\" && find . -maxdepth 1 -type f | sort | xargs sha256sum"
            let wal = "\(place.restored)/pg_wal"
            func names() async throws -> [String] {
                try await runScript("ls \"$1\" | grep '^00000002'", wal).output.split(separator: "\n").map(String.init)
            }
            let own = try await names()
            try #require(own.count > 2 && own[0] == "00000002.history", "\(own)")
            for name in own.prefix(2) {
                let push = WALPush(repository: place.scratch.repository)
                _ = try await onOwnThreads { try push.run("\(wal)/\(name)") }
            }
            let change =
                "printf ' ' | dd of=\"$1\" bs=1 seek=$(($(stat -c %s \"$1\") - 1)) conv=notrunc status=none"
            try await runScript(change, "\(wal)/00000002.history")
            let before = try await runScript(list, wal).output.split(separator: "\n")
            let warnings = try place.prepared(rewrites: true).prepared.plan.warnings
            #expect(warnings.contains { $0.contains("that the archive lacks") }, "\(warnings)")
            let t = try #require(try await place.cluster.answer("SELECT pg_relation_filepath('t')"))
            let u = try #require(try await place.cluster.answer("SELECT pg_relation_filepath('u')"))
            let planted = try await runScript(
                """
                set -e
                mkdir "$2"; echo kept >"$2/file"; mkdir "$2/folder"; echo kept >"$2/folder/inner"
                cd "$1"
                truncate -s 8192 "restored/$3"; head -c 100000 /dev/urandom >>"restored/$4"
                chmod 0755 restored/base; chmod 0644 restored/global/1260; chmod 0400 restored/PG_VERSION
                rm restored/global/1262; echo extra >restored/base/extra
                mkdir -p restored/base/999999/deep; echo extra >restored/base/999999/deep/file
                ln -s "$2/folder" restored/base/link; ln -s "$2/folder" restored/base/999999/link
                rm -r restored/pg_xact; ln -s "$2/folder" restored/pg_xact
                rm restored/global/1213; ln -s "$2/file" restored/global/1213
                ln restored/global/1233 "$2/second"; head -c 100 /dev/zero >>restored/global/1233
                sha256sum "$2/second" >"$2/sum"
                rm -r restored/pg_notify; echo file >restored/pg_notify
                rm restored/global/1261; mkdir restored/global/1261
                mkdir space/PG_14_202107181; echo other >space/PG_14_202107181/file
                cd space/PG_1[5-9]_2*; ln -s "$2/folder" link; echo extra >extra
                """, place.folder, outside, t, u)
            try #require(planted.status == .exited(0), "\(planted.errors)")
            let (restore, prepared) = try place.prepared(rewrites: true)
            let forecast = try #require(prepared.plan.rewrite)
            #expect(forecast.compared > 900 && forecast.missing > 0 && forecast.removed > 4, "\(forecast)")
            // What comes between the plan and its confirmation.
            try await runScript("cp -p \"$1/$2\" \"$1/$2.partial\"", wal, own[2])
            let result = try await onOwnThreads { try await restore.run(prepared) }
            #expect(result.keptBytes > result.writtenBytes && result.writtenBytes > 0, "\(result)")
            // Nothing is lost that only this directory had, also when it is rewritten once more.
            let saved = try #require(result.keptWAL)
            let after = try await runScript(list, saved.directory).output.split(separator: "\n")
            let (late, early) = (after.filter { $0.hasSuffix(".partial") }, after.filter { !$0.hasSuffix(".partial") })
            #expect(after.count == saved.files && Set(early).isSubset(of: before), "\(saved): \(after), \(before)")
            #expect(late.count == 1, "\(after)")
            #expect(saved.first == "00000002.history" && saved.last > own[1], "\(saved)")
            #expect(!after.contains { $0.hasSuffix("/\(own[1])") }, "the archive has it")
            #expect(try await place.restore(rewrites: true).keptWAL == nil)
            #expect(try await runScript(list, saved.directory).output.split(separator: "\n") == after)
            let push = WALPush(repository: place.scratch.repository)
            let last = try await onOwnThreads { try push.run("\(saved.directory)/\(own[2])") }
            #expect(!last.wasPresent, "and 'wal push' takes it from there")
            try await runScript("rm -r \"$1/apex-backup-unarchived\"", wal)
            // What this test archived is among the WAL of a restore by now.
            try await runScript(
                "cp -p \"$1/restored/apex-backup-wal/00000002.history\" \"$1/fresh/apex-backup-wal/\"", place.folder)
            // What belongs to another major version stays where it is.
            #expect(try await runScript("rm -r \"$1/space/PG_14_202107181\"", place.folder).status == .exited(0))
            let differences = try await place.differences()
            #expect(differences == "", "\(differences)")
            let kept = try await runScript("cat file folder/* && sha256sum -c sum", directory: outside)
            #expect(kept.status == .exited(0) && kept.output.hasPrefix("kept\nkept\n"), "\(kept)")
            #expect(try await runScript("find . -type f | wc -l", directory: outside).output == "4\n")
            try await place.cluster.withServer(on: place.restored) { server in
                let rows = try await place.cluster.answer(
                    "SELECT count(*) || ' ' || (SELECT count(*) FROM u) || ' ' || (SELECT sum(n) FROM elsewhere) FROM t "
                        + "WHERE text = md5(n::text)", at: server)
                #expect(rows == "100000 1000 12502500")
            }
        }
    }

    @Test func `writes nothing that is right already`() async throws {
        try await Place.with { place in
            try await runScript("touch \"$1/marker\"", place.folder)
            // The control file comes last, the configuration and the WAL beside the data are not the backup's.
            func isOwn(_ name: String) -> Bool {
                name == "global/pg_control" || name.hasPrefix("apex-backup-wal/") || !name.contains("/")
            }
            let result = try await place.restore(rewrites: true)
            #expect(result.writtenBytes < 64 << 10 && result.keptBytes > 20 << 20, "\(result)")
            let written = try await runScript(
                "cd \"$1\" && find restored space -type f -newer marker -printf '%P\\n'", place.folder
            ).output.split(separator: "\n")
            #expect(written.allSatisfy { isOwn(String($0)) }, "\(written)")
            #expect(try await place.differences() == "")
            // One page of one file: no more than that is written besides.
            let t = try #require(try await place.cluster.answer("SELECT pg_relation_filepath('t')"))
            try await runScript(
                "printf x | dd of=\"$1/$2\" bs=1 seek=5000000 conv=notrunc status=none", place.restored, t)
            let mended = try await place.restore(rewrites: true)
            #expect(mended.writtenBytes == result.writtenBytes + 8192)
            #expect(try await place.differences() == "")
        }
    }

    @Test func `is refused for another cluster, and for one whose server runs or answers, with nothing touched`()
        async throws
    {
        try await Place.with { place in
            let folder = place.folder
            let data = place.cluster.server.dataDirectory
            let running = try await requireFailure { try place.prepared(into: data, rewrites: true) }
            #expect(running.code == .targetUnsuitable && running.reason?.contains("which lives") == true, "\(running)")
            #expect(running.unchanged == "Nothing in it was touched.")
            #expect(HostFacts.exists("\(data)/global/pg_control"))

            let other = try await PostgresCluster.shared().server.dataDirectory
            try await runScript(
                "mkdir -p \"$1/other/global\" && cp \"$2/PG_VERSION\" \"$1/other\" && cp \"$2/global/pg_control\" \"$1/other/global\"",
                folder, other)
            let foreign = try await requireFailure { try place.prepared(into: "\(folder)/other", rewrites: true) }
            #expect(foreign.code == .wrongCluster, "\(foreign)")
            try await runScript("rm \"$1/other/global/pg_control\"", folder)
            let unknown = try await requireFailure { try place.prepared(into: "\(folder)/other", rewrites: true) }
            #expect(unknown.code == .targetUnsuitable && unknown.reason?.contains("pg_control") == true, "\(unknown)")
            try await runScript("echo 9 >\"$1/PG_VERSION\"", place.restored)
            let version = try await requireFailure { try place.prepared(rewrites: true) }
            #expect(version.code == .targetUnsuitable && version.reason?.contains("'9'") == true, "\(version)")
            try await runScript("cp \"$1/PG_VERSION\" \"$2\"", data, place.restored)

            // A process of another container is not seen, but its server answers.
            try await runScript(
                "sed '1s/.*/4194303/' \"$1/postmaster.pid\" >\"$2/postmaster.pid\"", data, place.restored)
            let answered = try await requireFailure { try await place.restore(rewrites: true) }
            #expect(answered.reason?.contains("answers") == true, "\(answered)")
            try await runScript("rm \"$1/postmaster.pid\"", place.restored)
            #expect(try await place.differences() == "")

            // What is mounted in it is somebody else's.
            try await runScript(
                "mkdir \"$1\" && mount -t tmpfs tmpfs \"$1\" && touch \"$1/file\"", "\(place.restored)/base/mounted")
            let mounted = try await requireFailure { try place.prepared(rewrites: true) }
            #expect(mounted.code == .targetUnsuitable && mounted.unchanged == running.unchanged, "\(mounted)")
            #expect(HostFacts.exists("\(place.restored)/base/mounted/file"))
            try await runScript("umount --lazy \"$1\" && rmdir \"$1\"", "\(place.restored)/base/mounted")

            // A place that cannot be made is found before anything goes.
            let placeless = try await requireFailure {
                try await place.restore(rewrites: true, space: "no/such/space")
            }
            #expect(placeless.unchanged == running.unchanged, "\(placeless)")
            #expect(try await place.differences() == "")

            // A tablespace goes nowhere but where the directory has it, unless that is empty.
            try await runScript(
                "rm \"$1\"/pg_tblspc/* && ln -s \"$2\" \"$1/pg_tblspc/$3\"", place.restored, "\(folder)/fresh-space",
                "\(try #require(place.backup.physical?.tablespaces.first?.oid))")
            let strange = try await requireFailure { try place.prepared(rewrites: true) }
            #expect(strange.code == .targetNotEmpty, "\(strange)")
        }
    }

    @Test func `puts files together whose pieces stand in several lines, with zeros where none are`() async throws {
        try await Place.with { place in
            let t = try #require(try await place.cluster.answer("SELECT pg_relation_filepath('t')"))
            var lines: [FileTableLine] = []
            var late = [
                FileTableLine(
                    path: DataPath("base/holes"), isDirectory: false, size: 100_000, mode: 0o600, extents: [])
            ]
            for bytes in try place.scratch.content("files.jsonl.zst", of: place.backup).split(separator: 10) {
                var line = try RepositoryJSON.decodePlain(FileTableLine.self, from: Array(bytes), name: "files")
                if line.path.description == t {
                    try #require(line.extents.count > 1)
                    var rest = line
                    rest.extents.removeFirst()
                    late.append(rest)
                    line.extents.removeLast(line.extents.count - 1)
                }
                lines.append(line)
            }
            var content: [UInt8] = []
            for line in lines + late { content += try RepositoryJSON.encodePlain(line, pretty: false) + [10] }
            _ = try place.scratch.replace("files.jsonl.zst", of: place.backup, with: content)
            for rewrites in [true, false] {
                try await runScript(
                    rewrites
                        ? "cd \"$1\"; printf x >base/holes; printf x | dd of=\"$2\" bs=1 seek=6000000 conv=notrunc"
                        : "rm -r \"$1/../space\" \"$1\"", place.restored, t)
                try await place.restore(rewrites: rewrites)
                let compared = try await runScript(
                    "cmp \"restored/$1\" \"fresh/$1\" && head -c 100000 /dev/zero | cmp - restored/base/holes", t,
                    directory: place.folder)
                #expect(compared.status == .exited(0), "\(rewrites): \(compared)")
            }
        }
    }

    @Test(.timeLimit(.minutes(30)))
    func `into a full file system ends at once, with one error and no control file`() async throws {
        try await Place.with { place in
            try await withSmallDisk(megabytes: 96) { disk in
                let target = disk.path(of: "repository/data")
                try await runScript(
                    "mkdir \"$1\" && chown --reference=\"$2\" \"$1\"", target, place.cluster.server.dataDirectory)
                try await runScript("rm -r \"$1/space\"", place.folder)
                let (restore, prepared) = try place.prepared(into: target, rewrites: false)
                try await runScript("head -c 80M /dev/zero >\"$1\"", disk.path(of: "repository/filler"))
                let error = try await requireFailure { try await onOwnThreads { try await restore.run(prepared) } }
                #expect(error.code == .targetFull && error.remedy.hasPrefix("Empty the directory"), "\(error)")
                #expect(error.unchanged?.contains("no server starts on it") == true)
                #expect(!HostFacts.exists("\(target)/global/pg_control"))
                #expect(try place.scratch.runs().last?.state == .failed)
                #expect(try place.scratch.entries().first?.failedVerification == nil)

                // Where everything goes into one directory that is to be made, that is seen before anything is.
                let whole = PhysicalRestore.Request(
                    backup: place.backup.id.text, moment: .immediate, directory: target
                ).moved(into: disk.path(of: "repository/scratch"))
                let refused = try await requireFailure {
                    try PhysicalRestore(repository: place.scratch.repository, request: whole).prepare()
                }
                #expect(refused.message.contains("free, and the restore needs"), "\(refused)")
            }
        }
    }
}
