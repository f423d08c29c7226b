import Testing

@testable import BackupModel

/// What `doctor` says of a server, of which a test changes one fact.
@Suite struct `A finding of doctor` {
    private static let ours = "/usr/bin/apex-backup wal push --repository /srv/backups --cluster main %p"
    private static let now = Timestamp(Timestamp.Parts(year: 2026, month: 11, day: 21, hour: 12))

    /// A server that is configured well.
    private static func facts(_ change: (inout DoctorFacts) -> Void = { _ in }) -> DoctorFacts {
        let server = ServerFacts(
            version: "16.4", versionNumber: 160_004, systemIdentifier: "7", inRecovery: false, timeline: 1,
            currentLSN: LogSequenceNumber(position: 1 << 30), clock: now, dataChecksums: true, encoding: "UTF8",
            isSuperuser: false, canReadRolePasswords: true)
        let role = RoleNeeds(
            role: "backup", isSuperuser: false, mayReplicate: true, mayMonitor: true, mayReadServerFiles: true,
            mayReadBinaryFile: true, hasConfigurationElsewhere: false, mayCreateRestorePoint: true, maySwitchWAL: true)
        var facts = DoctorFacts(
            server: server, role: role,
            wanted: .init(
                cluster: "main", rpo: .seconds(900), rto: .seconds(14_400), window: .seconds(7 * 86_400),
                archiveCommand: ours), now: now, clock: ClockDifference(server: now, between: now, and: now))
        facts.settings = [
            "archive_command": .init(ours), "archive_library": .init(""),
            "archive_mode": .init("on", needsRestart: true), "archive_timeout": .init("60"),
            "full_page_writes": .init("on"), "max_replication_slots": .init("10", needsRestart: true),
            "max_slot_wal_keep_size": .init("20480"), "max_wal_senders": .init("10", needsRestart: true),
            "max_wal_size": .init("1024"), "wal_level": .init("replica", needsRestart: true),
        ]
        facts.archiver = .init(lastArchived: "000000010000000000000003", lastArchivedAt: now)
        facts.lastArchivedIsStored = true
        facts.waiting = 0
        facts.space = .init(usedBytes: 1 << 30, freeBytes: 100 << 30, bytesPerSecond: 1000)
        facts.pushTarget = .same
        facts.pushProgramExists = true
        facts.roundTrip = .proved(segment: "000000010000000000000003", took: .milliseconds(300))
        facts.backups = .init(
            newest: now, newestPhysical: now, archived: .upTo(.init(timeline: 1, end: server.currentLSN)))
        change(&facts)
        return facts
    }

    private func set(_ name: String, _ value: String, restart: Bool = false) -> (inout DoctorFacts) -> Void {
        { $0.settings[name] = .init(value, needsRestart: restart) }
    }

    /// Expects the finding of `code` among those of the changed server; returns it.
    @discardableResult
    private func expect(
        _ code: DoctorFinding.Code, _ level: DoctorFinding.Level, _ words: String = "", do statements: [String] = [],
        restart: Bool = false, sourceLocation: SourceLocation = #_sourceLocation,
        _ change: (inout DoctorFacts) -> Void
    ) -> DoctorFinding? {
        let found = Self.facts(change).findings.filter { $0.code == code }
        let finding = found.first { $0.level == level && $0.found.contains(words) }
        #expect(finding != nil, "\(found)", sourceLocation: sourceLocation)
        #expect(finding?.mend?.statements ?? [] == statements, sourceLocation: sourceLocation)
        #expect(finding?.mend?.needsRestart ?? false == restart, sourceLocation: sourceLocation)
        return finding
    }

    private let reload = "SELECT pg_reload_conf();"
    private var ourCommand: [String] { ["ALTER SYSTEM SET archive_command = '\(Self.ours)';", reload] }

    @Test func `is ok for each thing of a server that is configured well`() {
        let findings = Self.facts().findings
        #expect(findings.filter { $0.level != .ok } == [])
        let codes: Set<DoctorFinding.Code> = [
            .serverVersion, .roleRights, .newestBackup, .walLevel, .archiveMode, .archiveCommand, .archiveCommandPath,
            .archiveCommandRepository, .archiver, .archiveRoundTrip, .archiveTimeout, .walSenders, .replicationSlots,
            .slotLimit, .pgWALSpace, .fullPageWrites, .dataChecksums, .clock,
        ]
        #expect(Set(findings.map(\.code)) == codes)
    }

    @Test func `comes worst first`() {
        let findings = Self.facts {
            $0.settings["wal_level"] = .init("minimal")
            $0.settings["full_page_writes"] = .init("off")
        }.findings
        #expect(findings.map(\.level) == findings.map(\.level).sorted())
        #expect(findings.first?.code == .walLevel && findings.last?.level == .ok)
    }

    @Test func `of wal_level and archive_mode has what switches archiving on`() {
        expect(
            .walLevel, .error, do: ["ALTER SYSTEM SET wal_level = 'replica';"], restart: true,
            set("wal_level", "minimal", restart: true))
        let on = ["ALTER SYSTEM SET archive_mode = 'on';", ourCommand[0], reload]
        expect(.archiveMode, .warning, do: on, restart: true, set("archive_mode", "off", restart: true))
        expect(.archiveMode, .warning, do: ["ALTER SYSTEM SET wal_level = 'replica';"] + on, restart: true) {
            $0.settings["archive_mode"]?.value = "off"
            $0.settings["wal_level"]?.value = "minimal"
        }
        expect(.archiveMode, .error, do: on, restart: true) {
            $0.settings["archive_mode"]?.value = "off"
            $0.wanted.backupWAL = .archive
        }
        expect(.archiveMode, .note, "standbys archive too", set("archive_mode", "always", restart: true))
        let receiver = DoctorFacts.Slot(name: "apex_backup_main", isActive: true, status: "reserved")
        for wal in BackupPolicy.PhysicalSettings.WALCapture.allCases {
            expect(.archiveMode, .note, "wal receive' alone") {
                $0.settings["archive_mode"]?.value = "off"
                $0.slots = [receiver]
                $0.wanted.backupWAL = wal
            }
        }
        expect(.archiveMode, .note, "stores the same WAL too") { $0.slots = [receiver] }
        expect(.archiveMode, .warning, do: on, restart: true) {
            $0.settings["archive_mode"]?.value = "off"
            $0.slots = [.init(name: "apex_backup_main", isActive: false)]
        }
    }

    @Test func `of a command has the command that archives into this repository`() {
        expect(.archiveCommand, .error, "is empty", do: ourCommand, set("archive_command", ""))
        expect(.archiveCommand, .error, "stores nothing", do: ourCommand, set("archive_command", "/bin/true"))
        expect(.archiveCommand, .error, "|| true", do: ourCommand, set("archive_command", "\(Self.ours) || true"))
        expect(
            .archiveCommand, .note, "runs pgbackrest", do: ourCommand,
            set("archive_command", "pgbackrest archive-push %p"))
        expect(
            .archiveCommand, .note, "is not understood", do: ourCommand, set("archive_command", "/opt/archive.sh %p"))
        expect(
            .archiveCommandPath, .warning, "without an absolute path", do: ourCommand,
            set("archive_command", "apex-backup wal push %p"))
        expect(.archiveCommandPath, .error, "There is no program", do: ourCommand) { $0.pushProgramExists = false }
        expect(.archiveCommandQuoting, .error, "which file", do: ourCommand, set("archive_command", "/x wal push %f"))
        expect(
            .archiveCommandQuoting, .error, "without its end", do: ourCommand, set("archive_command", "/x wal push '%p")
        )
        expect(.archiveCommandQuoting, .error, "'%r'", do: ourCommand, set("archive_command", "/x wal push %p %r"))
        expect(.archiveCommandQuoting, .warning, "'%r'", do: ourCommand) {
            $0.settings["archive_command"] = .init("/x wal push %p %r")
            $0.server.versionNumber = 150_008
        }
        let unknown = expect(.archiveCommand, .error, do: ourCommand) {
            $0.settings["archive_command"] = .init(":")
            $0.pushProgramExists = nil
        }
        #expect(unknown?.mend?.action?.contains("on the server's host") == true)
    }

    @Test func `of a library says that the command is not used`() {
        let statements = ["ALTER SYSTEM SET archive_library = '';"] + ourCommand
        expect(.archiveLibrary, .error, "archives nothing", do: statements, set("archive_library", "basic_archive"))
        expect(.archiveLibrary, .note, "is not used", do: statements) {
            $0.settings["archive_library"] = .init("basic_archive")
            $0.settings["archive_command"] = .init("")
        }
    }

    @Test func `of the repository believes what came back, then what the command names`() {
        expect(.archiveCommandRepository, .ok, "came back") { $0.pushTarget = .other("into /b") }
        func untried(_ target: DoctorFacts.PushTarget) -> (inout DoctorFacts) -> Void {
            {
                $0.roundTrip = .notTried("no")
                $0.pushTarget = target
            }
        }
        expect(.archiveCommandRepository, .ok, "names this repository", untried(.same))
        expect(.archiveCommandRepository, .error, "into /b", do: ourCommand, untried(.other("into /b")))
        expect(.archiveCommandRepository, .note, "not known: why", do: ourCommand, untried(.notKnown("why")))
    }

    @Test func `of the archiver and the round trip tells what the server says`() {
        let earlier = Self.now.advanced(by: .seconds(-5))
        let failing = expect(.archiver, .error, "000000010000000000000004") {
            $0.archiver = .init(
                lastArchived: "000000010000000000000003", lastArchivedAt: earlier,
                lastFailed: "000000010000000000000004", lastFailedAt: Self.now, failures: 9)
            $0.waiting = 12
        }
        #expect(failing?.found.contains("9 failures in all, and 12 files wait") == true)
        #expect(failing?.mend?.action?.contains("server's log") == true)
        expect(.archiver, .ok) {
            $0.archiver.lastFailed = "000000010000000000000002"
            $0.archiver.lastFailedAt = earlier
        }
        expect(.archiver, .note, "nothing yet") { $0.archiver = .init() }
        expect(.archiver, .error, "not in this repository", do: ourCommand) { $0.lastArchivedIsStored = false }
        let name = "000000010000000000000009"
        expect(.archiveRoundTrip, .warning, "later than the RPO") {
            $0.roundTrip = .proved(segment: name, took: .seconds(901))
        }
        expect(.archiveRoundTrip, .error, "not in this repository", do: ourCommand) {
            $0.roundTrip = .elsewhere(segment: name)
        }
        let missing = expect(.archiveRoundTrip, .error, "after 30.0 s") {
            $0.roundTrip = .missing(segment: name, waited: .seconds(30))
            $0.archiver.lastFailed = name
            $0.archiver.failures = 3
        }
        #expect(missing?.why?.contains("The last failure was \(name)") == true)
        expect(.archiveRoundTrip, .error, "as another: broken") { $0.roundTrip = .damaged(segment: name, "broken") }
        expect(.archiveRoundTrip, .note, "not known", do: ["GRANT it;"]) {
            $0.roundTrip = .notAllowed(grant: "GRANT it;")
        }
        expect(.archiveRoundTrip, .note, "because") { $0.roundTrip = .notTried("because") }
    }

    @Test func `of archive_timeout compares it with the RPO`() {
        let minute = ["ALTER SYSTEM SET archive_timeout = '60s';", reload]
        expect(.archiveTimeout, .error, "is 0", do: minute, set("archive_timeout", "0"))
        expect(.archiveTimeout, .error, "longer than the RPO of 15 min", do: minute, set("archive_timeout", "901"))
        expect(.archiveTimeout, .warning, "the way into the repository", do: minute) {
            $0.settings["archive_timeout"]?.value = "890"
            $0.roundTrip = .proved(segment: "x", took: .seconds(11))
        }
        expect(.archiveTimeout, .error, do: ["ALTER SYSTEM SET archive_timeout = '10s';", reload]) {
            $0.wanted.rpo = .seconds(20)
        }
        expect(.archiveTimeout, .ok, "wal receive") {
            $0.settings["archive_timeout"]?.value = "0"
            $0.slots = [.init(name: "apex_backup_main", isActive: true)]
        }
    }

    @Test func `of senders and slots keeps two and one free for a base backup`() {
        expect(.walSenders, .error, "of which 9", do: ["ALTER SYSTEM SET max_wal_senders = '13';"], restart: true) {
            $0.sendersInUse = 9
        }
        expect(.walSenders, .ok) { $0.sendersInUse = 8 }
        expect(.replicationSlots, .error, do: ["ALTER SYSTEM SET max_replication_slots = '14';"], restart: true) {
            $0.slotsInUse = 10
        }
        // Without a stream of WAL beside the files.
        expect(.walSenders, .ok) {
            $0.wanted.backupWAL = .archive
            $0.sendersInUse = 9
        }
        expect(
            .walSenders, .error, "a base backup needs one", do: ["ALTER SYSTEM SET max_wal_senders = '14';"],
            restart: true
        ) {
            $0.wanted.backupWAL = .archive
            $0.sendersInUse = 10
        }
        expect(.replicationSlots, .ok) {
            $0.wanted.backupWAL = .archive
            $0.slotsInUse = 10
        }
        // Of PostgreSQL 14 no base backup is taken.
        expect(.walSenders, .ok) {
            $0.sendersInUse = 10
            $0.server.versionNumber = 140_012
        }
    }

    @Test func `of a slot tells how much it holds, and how to drop it`() {
        let drop = ["SELECT pg_drop_replication_slot('s''1');"]
        func slot(_ status: String?, active: Bool = false, name: String = "s'1") -> (inout DoctorFacts) -> Void {
            {
                $0.slots = [
                    .init(name: name, isActive: active, status: status, keptBytes: 3 << 30, inactiveSince: Self.now)
                ]
            }
        }
        expect(
            .slot, .warning, "used by nobody since 2026-11-21 12:00:00 UTC. It holds 3.0 GiB", do: drop,
            slot("extended"))
        expect(.slot, .warning, "has lost WAL", do: drop, slot("lost"))
        func keep(_ gigabytes: Int) -> [String] {
            ["ALTER SYSTEM SET max_slot_wal_keep_size = '\(gigabytes)GB';", reload]
        }
        expect(.slot, .warning, "about to lose", do: keep(40), slot("unreserved", active: true))
        expect(.slot, .warning, "about to lose", do: keep(6)) {
            slot("unreserved", active: true)(&$0)
            $0.settings["max_slot_wal_keep_size"]?.value = "1024"
        }
        expect(.slot, .ok, "in use", slot("reserved", active: true))
        let ours = ["SELECT pg_drop_replication_slot('apex_backup_main');"]
        expect(.slot, .error, "has lost WAL", do: ours, slot("lost", name: "apex_backup_main"))
        expect(.slot, .warning, "of 'apex-backup wal receive'", do: ours, slot("reserved", name: "apex_backup_main"))
        expect(.slotLimit, .ok, "there is no slot", set("max_slot_wal_keep_size", "-1"))
        expect(.slotLimit, .warning, do: ["ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';", reload]) {
            $0.settings["max_slot_wal_keep_size"]?.value = "-1"
            $0.slots = [.init(name: "s", isActive: true)]
        }
        #expect(Self.facts { $0.wanted.cluster = "Main-1.x" }.wanted.slot == "apex_backup_main_1_x")
    }

    @Test func `of pg_wal says for how long its room is enough`() {
        let less = ["ALTER SYSTEM SET max_wal_size = '500MB';", reload]
        expect(.pgWALSpace, .error, "less than max_wal_size", do: less) {
            $0.space = .init(usedBytes: 100 << 20, freeBytes: 900 << 20)
        }
        expect(.pgWALSpace, .warning, "less than the RTO of 4 h") {
            $0.space = .init(usedBytes: 1 << 30, freeBytes: 10 << 30, bytesPerSecond: 1_000_000)
        }
        expect(.pgWALSpace, .ok) { $0.space.bytesPerSecond = nil }
        expect(.pgWALSpace, .ok) { $0.space.bytesPerSecond = 0.000_001 }
        expect(.pgWALSpace, .note, "cannot be seen from here") { $0.space.freeBytes = nil }
        expect(.pgWALSpace, .note, "not known", do: ["GRANT pg_monitor TO \"backup\";"]) { $0.space = .init() }
    }

    @Test func `of a synchronous receiver tells what it costs, and refuses remote_apply`() {
        let receiver = DoctorFacts.Receiver(
            applicationName: "receiver", synchronousState: "sync",
            latency: .init(waiting: .milliseconds(12), local: .milliseconds(2)))
        expect(.synchronousReceiver, .ok, "12 ms, against 2 ms") { $0.receiver = receiver }
        expect(.synchronousReceiver, .note, "not measured") {
            $0.receiver = .init(applicationName: "receiver", synchronousState: "quorum")
        }
        let monitor = ["GRANT pg_monitor TO \"backup\";"]
        expect(.synchronousReceiver, .note, "is not known", do: monitor) {
            $0.receiver = .init(applicationName: "", synchronousState: nil)
            $0.settings["synchronous_standby_names"] = .init("ANY 1 (other, apex_backup_main)")
        }
        let unseen = Self.facts {
            $0.receiver = .init(applicationName: "", synchronousState: nil)
            $0.settings["synchronous_standby_names"] = .init("other")
        }
        #expect(!unseen.findings.contains { $0.code == .synchronousReceiver })
        let local = "SET synchronous_commit = local;"
        let statement = "ALTER SYSTEM SET synchronous_commit = 'on';"
        expect(.synchronousReceiver, .error, "remote_apply for all", do: [local, statement, reload]) {
            $0.receiver = receiver
            $0.remoteApply = [.init(place: "all", statement: statement)]
        }
        let quiet = Self.facts {
            $0.receiver = .init(applicationName: "receiver", synchronousState: "async")
            $0.remoteApply = [.init(place: "all", statement: statement)]
        }
        #expect(!quiet.findings.contains { $0.code == .synchronousReceiver })
    }

    @Test func `of the server and the role tells what they lack`() {
        expect(.serverVersion, .note, "logical backups only") { $0.server.versionNumber = 140_012 }
        expect(.serverVersion, .note, "not tested") { $0.server.versionNumber = 190_000 }
        expect(
            .fullPageWrites, .warning, do: ["ALTER SYSTEM SET full_page_writes = 'on';", reload],
            set("full_page_writes", "off"))
        expect(.dataChecksums, .note) { $0.server.dataChecksums = false }
        expect(.roleRights, .note, do: ["GRANT pg_monitor TO \"backup\";"]) { $0.role.mayMonitor = false }
        let replication = ["ALTER ROLE \"backup\" REPLICATION;"]
        expect(.roleRights, .warning, do: replication) { $0.role.mayReplicate = false }
        expect(.roleRights, .note, do: replication) {
            $0.role.mayReplicate = false
            $0.backups?.newestPhysical = nil
        }
        for seconds in [6, -6] {
            expect(.clock, .warning, seconds > 0 ? "6.0 s ahead" : "6.0 s behind") {
                $0.clock = ClockDifference(
                    server: Self.now.advanced(by: .seconds(seconds)), between: Self.now, and: Self.now)
            }
        }
        expect(.clock, .ok) {
            $0.clock = ClockDifference(
                server: Self.now.advanced(by: .seconds(18)), between: Self.now, and: Self.now.advanced(by: .seconds(20))
            )
        }
    }

    @Test func `of a standby leaves the archive to its primary`() {
        expect(.standby, .note) { $0.server.inRecovery = true }
        expect(.standby, .warning, "whose WAL comes from the archive") {
            $0.server.inRecovery = true
            $0.wanted.backupWAL = .archive
        }
        let codes = Self.facts { $0.server.inRecovery = true }.findings.map(\.code)
        #expect(!codes.contains { [.archiveMode, .archiveCommand, .archiveTimeout, .archiveRoundTrip].contains($0) })
        let always = Self.facts {
            $0.server.inRecovery = true
            $0.settings["archive_mode"]?.value = "always"
        }.findings.map(\.code)
        #expect(always.contains(.archiveCommand) && !always.contains(.archiveTimeout))
    }

    @Test func `of the newest backup compares it with the window, or with the RPO`() {
        expect(.newestBackup, .warning, "There is no backup") { $0.backups = .init() }
        expect(.newestBackup, .warning, "no physical backup") { $0.backups?.newestPhysical = nil }
        expect(.newestBackup, .warning, "8 d") {
            $0.backups?.newestPhysical = Self.now.advanced(by: .seconds(-8 * 86_400))
        }
        expect(.newestBackup, .note) { $0.backups = nil }
        expect(.newestBackup, .note, "not known") { $0.backups?.archived = nil }
        func unarchived(_ age: Int) -> (inout DoctorFacts) -> Void {
            {
                $0.settings["archive_mode"]?.value = "off"
                $0.backups = .init(newest: Self.now.advanced(by: .seconds(-age)))
            }
        }
        expect(.newestBackup, .warning, "no WAL leads on", unarchived(901))
        expect(.newestBackup, .ok, "", unarchived(900))
    }

    @Test func `of the newest backup believes what the archive has, and not what settings say`() {
        func reach(
            _ end: UInt64 = 1 << 30, timeline: UInt32 = 1, missing: String? = nil, beyond: Bool = true
        ) -> DoctorFacts.ArchivedWAL {
            .upTo(
                .init(
                    timeline: timeline, end: LogSequenceNumber(position: end), missing: missing,
                    isBeyondBackup: beyond))
        }
        expect(.newestBackup, .ok, "and WAL on from it up to 0/40000000") { $0.backups?.archived = reach() }
        expect(.newestBackup, .error, "cannot be restored") { $0.backups?.archived = .nothing }
        expect(.newestBackup, .error, "segment 00 is missing") { $0.backups?.archived = reach(missing: "00") }
        // The settings are all right, and yet nothing has come for two segments.
        let behind: UInt64 = 1 << 30 - 2 << 24
        expect(.newestBackup, .warning, "32.0 MiB behind what the server has written") {
            $0.backups?.archived = reach(behind)
        }
        expect(.newestBackup, .ok) { $0.backups?.archived = reach(behind + 1) }
        expect(.newestBackup, .ok) {
            $0.backups?.archived = reach(behind)
            $0.settings["wal_segment_size"] = .init("\(64 << 20)")
        }
        expect(.newestBackup, .warning, "the server writes timeline 1") { $0.backups?.archived = reach(timeline: 2) }
        // What a primary has written its standby does not know.
        expect(.newestBackup, .ok) {
            $0.backups?.archived = reach(1 << 20)
            $0.server.inRecovery = true
        }
        // WAL that comes on a way that no setting tells of counts; what the backup brought itself does not.
        func unarchived(_ archived: DoctorFacts.ArchivedWAL) -> (inout DoctorFacts) -> Void {
            {
                $0.settings["archive_mode"]?.value = "off"
                let old = Self.now.advanced(by: .seconds(-901))
                $0.backups = .init(newest: old, newestPhysical: old, archived: archived)
            }
        }
        expect(.newestBackup, .ok, "WAL on from it", unarchived(reach()))
        expect(.newestBackup, .warning, "no WAL leads on", unarchived(reach(beyond: false)))
        expect(.newestBackup, .warning, "no WAL leads on", unarchived(reach(behind)))
    }

    @Test func `of a receiver believes what arrives, and not that somebody holds its slot`() {
        func holding(_ reception: DoctorFacts.Reception, status: String = "reserved") -> (inout DoctorFacts) -> Void {
            {
                $0.slots = [.init(name: "apex_backup_main", isActive: true, status: status)]
                $0.reception = reception
            }
        }
        expect(.slot, .ok, "in the repository after 1.5 s", holding(.proved(took: .milliseconds(1500))))
        expect(.slot, .error, "not in the repository after 30.0 s", holding(.missing(waited: .seconds(30))))
        expect(
            .slot, .error, "not in the repository", holding(.missing(waited: .seconds(30)), status: "unreserved"))
        expect(.slot, .warning, "lacks the segments", holding(.notTried(isStored: false)))
        expect(.slot, .ok, "is in use", holding(.notTried(isStored: true)))
        #expect(Self.facts(holding(.proved(took: .zero))).receives)
        #expect(!Self.facts(holding(.missing(waited: .zero))).receives)
        #expect(Self.facts(holding(.notTried(isStored: nil))).receives)
        #expect(!Self.facts(holding(.notTried(isStored: false))).receives)
        // Then nothing that depends on it is right either.
        let off = Self.facts {
            holding(.missing(waited: .seconds(30)))(&$0)
            $0.settings["archive_mode"]?.value = "off"
        }.findings
        #expect(off.contains { $0.code == .archiveMode && $0.level == .warning })
    }

    @Test func `does not send to a statement that cannot work`() {
        let fixed = expect(.archiveTimeout, .error) {
            $0.settings["archive_timeout"] = .init("0", isFromCommandLine: true)
        }
        #expect(fixed?.mend?.action?.contains("command line sets archive_timeout") == true)
        let managed = expect(.archiveTimeout, .error) {
            $0.settings["archive_timeout"]?.value = "0"
            $0.settings["allow_alter_system"] = .init("off")
        }
        #expect(managed?.mend?.action?.contains("Set archive_timeout to '60s'") == true)
        let pending = expect(.walLevel, .error, do: ["ALTER SYSTEM SET wal_level = 'replica';"], restart: true) {
            $0.settings["wal_level"] = .init("minimal", needsRestart: true, isPending: true)
        }
        #expect(pending?.mend?.text.contains("Restart the server. A change of wal_level is waiting") == true)
    }
}
