import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical backup` {
    @Suite(.timeLimit(.minutes(30))) struct `Verification` {
        /// Ways in which a stored file can be wrong.
        enum Damage: String, CaseIterable, Sendable {
            case bitFlipped, truncated, emptied, missing, lengthened

            /// Does it to `file`; returns what undoes it.
            func apply(to file: String, in directory: TemporaryDirectory) async throws -> [UInt8] {
                let sound = try directory.read(file)
                var bytes = sound
                switch self {
                case .bitFlipped: bytes[bytes.count / 2] ^= 0x10
                case .truncated: bytes.removeLast()
                case .emptied: bytes = []
                case .lengthened: bytes.append(0)
                case .missing:
                    try await runScript("rm -- \"$1\"", directory.path(of: file))
                    return sound
                }
                try directory.write(bytes, to: file)
                return sound
            }
        }

        /// A backup of a small database in a repository of its own.
        private func withBackup(
            _ configure: (inout BackupPolicy.LogicalSettings) -> Void = { _ in },
            _ body: (PostgresCluster, ScratchRepository, BackupManifest) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await SampleDatabase.fill(server, database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database)) {
                    $0.globals = true
                    configure(&$0)
                }
                try await body(server, scratch, manifest)
            }
        }

        @Test func `finds nothing wrong with a sound backup at any level, and records what it proved`() async throws {
            try await withBackup { _, scratch, manifest in
                let states: [(BackupVerification.Level, LadderState)] = [
                    (.list, .committed), (.checksum, .verified), (.deep, .verified),
                ]
                for (level, state) in states {
                    let reports = try await scratch.verify(level, "latest")
                    #expect(reports.map(\.succeeded) == [true] && reports.map(\.id) == [manifest.id])
                    #expect(reports.first?.objects == manifest.artefacts.reduce(0) { $0 + $1.volumes.count })
                    let entry = try #require(try scratch.entries().first)
                    #expect(entry.state == state)
                    let fact = try #require(entry.facts.last)
                    #expect(fact.level == level.rawValue && fact.succeeded && fact.seconds == reports.first?.seconds)
                    #expect(fact.at > manifest.finishedAt && fact.seconds ?? 0 > 0)
                    #expect(try fact.run == scratch.runs().last?.id)
                    #expect(try scratch.runs().last?.start?.operation == .verify)
                    #expect(try scratch.runs().last?.state == .succeeded)
                }
                #expect(try scratch.entries().first?.facts.map(\.kind) == [.verified, .verified, .verified])
            }
        }

        @Test(arguments: Damage.allCases)
        func `finds a damaged file of every artefact and names it`(_ damage: Damage) async throws {
            try await withBackup { _, scratch, manifest in
                for artefact in manifest.artefacts {
                    let file = scratch.file(artefact.name, of: manifest.id)
                    let sound = try await damage.apply(to: file, in: scratch.directory)
                    for level in BackupVerification.Level.allCases {
                        let report = try #require(try await scratch.verify(level, manifest.id.text).first)
                        if damage == .bitFlipped, level == .list {
                            #expect(report.succeeded, "sizes tell nothing of bits")
                            continue
                        }
                        #expect(report.problems.count == 1, "\(level), \(artefact.name): \(report.problems)")
                        let problem = try #require(report.problems.first)
                        #expect(problem.code == (damage == .missing ? .objectMissing : .objectDamaged))
                        #expect("\(problem)".contains(artefact.name), "\(problem)")
                        #expect(try scratch.runs().last?.state == .failed)
                    }
                    try scratch.directory.write(sound, to: file)
                }
                let report = try await scratch.verify(.deep)
                #expect(report.map(\.succeeded) == [true])
            }
        }

        @Test(arguments: Damage.allCases)
        func `is not needed for a restore to notice damage, which then leaves nothing behind`(_ damage: Damage)
            async throws
        {
            try await withBackup { server, scratch, manifest in
                for role in [Artefact.Role.dump, .tables, .globals] {
                    let artefact = try #require(manifest.artefact(role))
                    let file = scratch.file(artefact.name, of: manifest.id)
                    let sound = try await damage.apply(to: file, in: scratch.directory)
                    try await server.withUnusedName { place in
                        let error = try await requireFailure { try await scratch.restore(to: place) }
                        #expect([.objectDamaged, .objectMissing].contains(error.code), "\(role): \(error)")
                        #expect("\(error)".contains(artefact.name), "\(error)")
                        #expect(error.unchanged != nil, "\(error)")
                        let databases = try await server.databases()
                        #expect(!databases.contains(place.database ?? ""))
                    }
                    try scratch.directory.write(sound, to: file)
                }
                #expect(try scratch.entries().first?.state == .committed)
            }
        }

        @Test(arguments: Damage.allCases)
        func `tells a damaged manifest from a run without one`(_ damage: Damage) async throws {
            try await withBackup { server, scratch, first in
                let name = try #require(first.databases?.first?.name)
                let second = try await scratch.backup(name)
                let file = scratch.file("manifest.json", of: second.id)
                _ = try await damage.apply(to: file, in: scratch.directory)
                let entry = try #require(try scratch.entries().last)
                guard damage != .missing else {
                    #expect(BackupListing(entry).state == "running" && entry.manifest == nil)
                    #expect(try await scratch.verify(.list).map(\.id) == [first.id])
                    #expect(try Catalogue(scratch.repository).backup(named: "latest").id == first.id)
                    return
                }
                #expect(BackupListing(entry).state == "unreadable")
                let reports = try await scratch.verify(.list)
                #expect(reports.map(\.succeeded) == [true, false])
                #expect(reports.last?.problems.first?.message.contains("manifest.json") == true)
                for backup in ["latest", second.id.text] {
                    let error = try await requireFailure {
                        try await scratch.planRestore(to: server.settings.with(database: "nowhere")) {
                            $0.backup = backup
                        }
                    }
                    #expect(error.code == .objectDamaged && "\(error)".contains(second.id.text), "\(error)")
                }
                let (_, prepared) = try await scratch.planRestore(to: server.settings.with(database: "nowhere")) {
                    $0.backup = first.id.text
                }
                await prepared.close()
                #expect(prepared.plan.backup == first.id)
            }
        }

        @Test func `does not believe a manifest that is well sealed and says what it must not`() async throws {
            try await withBackup { server, scratch, manifest in
                let key = scratch.repository.layout.manifest(manifest.id)
                let storage = scratch.repository.storage
                let other = RunID(at: manifest.startedAt, chance: 0xFFFF)
                func tampered(_ change: (inout BackupManifest) -> Void) throws -> [UInt8] {
                    var changed = manifest
                    change(&changed)
                    return try RepositoryJSON.encode(changed)
                }
                let volume = StoredVolume(
                    name: "../../../../../etc/passwd", bytes: 1,
                    sha256: SHA256Digest(bytes: Array(repeating: 0, count: 32)))
                let cases: [(what: String, bytes: [UInt8], code: ErrorCode)] = [
                    ("not JSON", SelfProof.seal(Array("manifest: 1\n".utf8)), .objectDamaged),
                    ("JSON of something else", SelfProof.seal(Array("{\"name\": 1}\n".utf8)), .objectDamaged),
                    (
                        "a newer format", SelfProof.seal(Array("{\"format\": 2, \"shape\": \"new\"}\n".utf8)),
                        .repositoryNewer
                    ),
                    ("no proof", try RepositoryJSON.encodePlain(manifest, pretty: true), .objectDamaged),
                    ("a path outside", try tampered { $0.artefacts[0].volumes = [volume] }, .objectDamaged),
                    ("an absolute path", try tampered { $0.artefacts[0].name = "/etc/passwd" }, .objectDamaged),
                    ("the manifest itself", try tampered { $0.artefacts[0].name = "manifest.json" }, .objectDamaged),
                    ("another backup's", try tampered { $0.id = other }, .objectDamaged),
                    ("another cluster's", try tampered { $0.cluster = "other" }, .objectDamaged),
                    ("a format that never was", try tampered { $0.format = -1 }, .objectDamaged),
                    ("a version that cannot be", try tampered { $0.server.versionNumber = .max }, .objectDamaged),
                ]
                for (what, bytes, code) in cases {
                    try storage.remove(key)
                    #expect(try storage.putIfAbsent(key, bytes) == .stored)
                    let report = try #require(try await scratch.verify(.checksum).first, "\(what)")
                    #expect(report.problems.first?.code == code, "\(what): \(report.problems)")
                    let error = try await requireFailure {
                        try await scratch.planRestore(to: server.settings.with(database: "nowhere")) {
                            $0.backup = manifest.id.text
                        }
                    }
                    #expect(error.code == code && error.unchanged != nil, "\(what): \(error)")
                    let latest = try await requireFailure {
                        try await scratch.planRestore(to: server.settings.with(database: "nowhere"))
                    }
                    #expect(latest.code == code && latest.message.contains(manifest.id.text), "\(what): \(latest)")
                    #expect(BackupListing(try #require(try scratch.entries().first)).state == "unreadable", "\(what)")
                }
            }
        }

        @Test func `does not call a backup right whose manifest does not list its dumps`() async throws {
            try await withBackup { server, scratch, manifest in
                let key = scratch.repository.layout.manifest(manifest.id)
                let changes: [(what: String, change: (inout BackupManifest) -> Void)] = [
                    ("no files", { $0.artefacts = [] }), ("no databases", { $0.databases = [] }),
                    ("another file", { $0.databases?[0].artefact = "nothere" }),
                    ("a database twice", { $0.databases = ($0.databases ?? []) + (manifest.databases ?? []) }),
                    ("a file twice", { $0.artefacts += manifest.artefacts }),
                ]
                for (what, change) in changes {
                    var changed = manifest
                    change(&changed)
                    try scratch.repository.storage.remove(key)
                    _ = try scratch.repository.storage.putIfAbsent(key, try RepositoryJSON.encode(changed))
                    let report = try #require(try await scratch.verify(.checksum).first, "\(what)")
                    #expect(report.problems.first?.code == .objectDamaged, "\(what): \(report.problems)")
                    let error = try await requireFailure {
                        try await scratch.planRestore(to: server.settings.with(database: "nowhere"))
                    }
                    #expect(error.code == .objectDamaged, "\(what): \(error)")
                }
            }
        }

        @Test func `deep finds a dump that was stored as it should be and is not whole`() async throws {
            for format in DumpFormat.allCases {
                try await withBackup {
                    $0.format = format
                } _: { _, scratch, manifest in
                    let name = try #require(manifest.artefact(.dump)).name
                    let content = try scratch.content(name, of: manifest)
                    _ = try scratch.replace(name, of: manifest, with: Array(content.dropLast(300)))
                    let shallow = try await scratch.verify(.checksum)
                    #expect(shallow.map(\.succeeded) == [true])
                    let deep = try #require(try await scratch.verify(.deep).first)
                    #expect(!deep.succeeded, "\(format)")
                    #expect(deep.problems.allSatisfy { [.objectDamaged, .dumpIncomplete].contains($0.code) })
                    #expect(deep.problems.contains { "\($0)".contains(name) }, "\(deep.problems)")
                }
            }
        }

        @Test func `deep reads dumps with a pg_restore no older than the pg_dump that wrote them, or says it has none`()
            async throws
        {
            try await withBackup { server, scratch, first in
                let second = try await scratch.backup(try #require(first.databases?.first?.name))
                for manifest in [first, second] { _ = try scratch.rewrite(manifest) { $0.tools["pg_dump"] = "99.1" } }
                let error = try await requireFailure { try await scratch.verify(.deep) }
                #expect(error.code == .toolTooOld)
                #expect(error.message == "The dumps of backup \(first.id) need the pg_restore of PostgreSQL 99.")
                #expect(try scratch.entries().flatMap(\.facts).isEmpty, "nothing was proved, neither way")

                let tools = try TemporaryDirectory()
                let script = """
                    #!/bin/sh
                    echo "$*" >>\(tools.path(of: "calls"))
                    [ "$*" != --version ] || exec echo "pg_restore (PostgreSQL) 99.1"
                    exec \(server.tools.path(of: "pg_restore")) "$@"
                    """
                try tools.writeProgram(script, to: "pg_restore")
                let verification = BackupVerification(repository: scratch.repository, level: .deep, bin: tools.path)
                let reports = try await onOwnThreads { try await verification.run(nil).backups }
                #expect(reports.map(\.succeeded) == [true, true])
                let calls = String(decoding: try tools.read("calls"), as: UTF8.self)
                #expect(calls == "--version\n--file=/dev/null\n--file=/dev/null\n")
            }
        }

        @Test func `that failed takes back what was proved, and warns in list and plan until the next one`()
            async throws
        {
            try await withBackup { server, scratch, manifest in
                _ = try await scratch.verify(.checksum)
                let file = scratch.file("RESTORE.md", of: manifest.id)
                let sound = try await Damage.bitFlipped.apply(to: file, in: scratch.directory)
                _ = try await scratch.verify(.checksum)
                try scratch.directory.write(sound, to: file)
                let damaged = BackupListing(try #require(try scratch.entries().first))
                #expect(damaged.state == "committed")
                #expect(damaged.warnings.contains { $0.hasPrefix("verification failed") && $0.contains("RESTORE.md") })
                let (_, prepared) = try await scratch.planRestore(to: server.settings.with(database: "nowhere"))
                await prepared.close()
                #expect(prepared.plan.warnings.contains { $0.contains("verification of this backup failed") })
                _ = try await scratch.verify(.checksum)
                let mended = BackupListing(try #require(try scratch.entries().first))
                #expect(mended.state == "verified" && mended.warnings.isEmpty && mended.verifiedAt != nil)
            }
        }

        @Test func `of what is not there is refused, and of a damaged fact goes on`() async throws {
            try await withBackup { _, scratch, manifest in
                for (name, code) in [("20200101T000000Z-0000", ErrorCode.backupMissing), ("yesterday", .usage)] {
                    let error = try await requireFailure { try await scratch.verify(.list, name) }
                    #expect(error.code == code && error.message.contains(name))
                }
                _ = try await scratch.verify(.checksum)
                let fact = try #require(
                    try scratch.directory.contents().first { $0.contains("/facts/") && $0.hasSuffix(".json") })
                _ = try await Damage.bitFlipped.apply(to: fact, in: scratch.directory)
                let entry = try #require(try scratch.entries().first)
                #expect(entry.manifest?.id == manifest.id && entry.state == .committed)
                let name = fact.split(separator: "/").last ?? ""
                #expect(scratch.warnings.contains { $0.contains(name) })
                let report = try #require(try await scratch.verify(.checksum).first)
                #expect(report.problems.map(\.code) == [.objectDamaged] && report.problems[0].message.contains(name))
                #expect(try scratch.entries().first?.state == .verified, "what was captured is right all the same")
            }
        }

        @Test func `of one object that cannot be read proves nothing against it, and goes on with the rest`()
            async throws
        {
            try await withBackup { _, scratch, first in
                let second = try await scratch.backup(try #require(first.databases?.first?.name))
                var number = 0
                var withheld = 0
                // Whichever read fails: it ends the run, or it is told of one backup and the other is proved.
                while true {
                    number += 1
                    let copy = try TemporaryDirectory()
                    try FileManager.default.copyItem(
                        atPath: scratch.directory.path(of: "repository"), toPath: copy.path(of: "repository"))
                    let sound = PosixStorage(root: copy.path(of: "repository"))
                    let faulty = FaultyStorage(sound, failing: .read, number: number)
                    let known = scratch.warnings.count
                    do {
                        let verification = BackupVerification(
                            repository: scratch.repository.kept(in: faulty), level: .checksum, bin: nil)
                        let reports = try await onOwnThreads { try await verification.run(nil).backups }
                        #expect(reports.map(\.id) == [first.id, second.id])
                        let failed = reports.filter { !$0.succeeded }
                        #expect(failed.allSatisfy { $0.problems.map(\.code) == [.storageFailed] }, "\(failed)")
                        #expect(failed.count <= 1)
                        withheld += failed.count
                        let unrecorded = scratch.warnings.dropFirst(known).filter {
                            $0.contains("could not be recorded")
                        }
                        let facts = try Catalogue(scratch.repository.kept(in: sound)).entries().flatMap(\.facts)
                        #expect(facts.count == 2 - failed.count - unrecorded.count && facts.allSatisfy(\.succeeded))
                    } catch let error as BackupError {
                        #expect(error == FaultyStorage.fault, "read \(number)")
                    }
                    guard faulty.hasFailed else { break }
                }
                #expect(withheld == first.artefacts.count + second.artefacts.count)
            }
        }

        @Test func `reads lines however many there are, and none that is longer than any can be`() async throws {
            try await withBackup { _, scratch, manifest in
                let name = try #require(manifest.artefact(.tables)).name
                for (content, lengths) in [
                    ("", []), ("a", [1]), ("\n\nab\n\nc\n", [2, 1]),
                    (String(repeating: "123456789\n", count: 300_000), Array(repeating: 9, count: 300_000)),
                    (String(repeating: "x", count: StoredArtefact.longestLine), [StoredArtefact.longestLine]),
                    ("a\n" + String(repeating: "x", count: StoredArtefact.longestLine + 1), nil),
                ] as [(String, [Int]?)] {
                    let changed = try scratch.replace(name, of: manifest, with: Array(content.utf8))
                    let stored = StoredArtefact(
                        try #require(changed.artefact(.tables)), of: manifest.id, in: scratch.repository)
                    var found: [Int] = []
                    if let lengths {
                        try stored.forEachLine { found.append($0.count) }
                        #expect(found == lengths)
                    } else {
                        let error = #expect(throws: BackupError.self) { try stored.forEachLine { _ in } }
                        #expect(error?.code == .objectDamaged && error?.message.contains(name) == true)
                    }
                }
            }
        }
    }
}

extension Repository {
    /// The same repository in another storage.
    fileprivate func kept(in storage: any Storage) -> Repository {
        Repository(storage: storage, layout: layout, marker: marker, environment: environment)
    }
}
