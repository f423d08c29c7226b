/// What `doctor` knows of a server when it judges it.
package struct DoctorFacts: Sendable, Hashable {
    /// A setting as `pg_settings` shows it.
    package struct Setting: Sendable, Hashable {
        /// In the setting's own unit.
        package var value: String
        /// Whether the server's command line gives it, over which no configuration file wins.
        package var isFromCommandLine: Bool
        /// Whether only a restart changes it.
        package var needsRestart: Bool
        /// Whether another value waits for a restart.
        package var isPending: Bool

        package init(
            _ value: String, isFromCommandLine: Bool = false, needsRestart: Bool = false, isPending: Bool = false
        ) {
            self.value = value
            self.isFromCommandLine = isFromCommandLine
            self.needsRestart = needsRestart
            self.isPending = isPending
        }
    }

    /// A replication slot that outlives its session.
    package struct Slot: Sendable, Hashable {
        package var name: String
        package var isActive: Bool
        /// PostgreSQL's `wal_status`.
        package var status: String?
        /// How much WAL the server keeps for it.
        package var keptBytes: Int64?
        /// Since when nobody uses it, where the server says so (17 and newer).
        package var inactiveSince: Timestamp?

        package init(
            name: String, isActive: Bool, status: String? = nil, keptBytes: Int64? = nil,
            inactiveSince: Timestamp? = nil
        ) {
            self.name = name
            self.isActive = isActive
            self.status = status
            self.keptBytes = keptBytes
            self.inactiveSince = inactiveSince
        }
    }

    /// The file system of `pg_wal`.
    package struct WALSpace: Sendable, Hashable {
        /// What is in `pg_wal`; `nil` if the role may not see it.
        package var usedBytes: Int64?
        /// What is free; `nil` if the file system cannot be seen from here.
        package var freeBytes: Int64?
        /// How much WAL the server wrote on average, in bytes a second.
        package var bytesPerSecond: Double?

        package init(usedBytes: Int64? = nil, freeBytes: Int64? = nil, bytesPerSecond: Double? = nil) {
            self.usedBytes = usedBytes
            self.freeBytes = freeBytes
            self.bytesPerSecond = bytesPerSecond
        }
    }

    /// The walsender that serves the slot of `wal receive`.
    package struct Receiver: Sendable, Hashable {
        package var applicationName: String
        /// `sync`, `quorum`, `potential` or `async`; `nil` if the role may not see it.
        package var synchronousState: String?
        /// How long a commit took that waited for it, and one that did not: medians.
        package var latency: Latency?

        package struct Latency: Sendable, Hashable {
            package var waiting: Duration
            package var local: Duration

            package init(waiting: Duration, local: Duration) {
                self.waiting = waiting
                self.local = local
            }
        }

        package init(applicationName: String, synchronousState: String?, latency: Latency? = nil) {
            self.applicationName = applicationName
            self.synchronousState = synchronousState
            self.latency = latency
        }

        /// Whether commits wait for it.
        package var isSynchronous: Bool { synchronousState == "sync" || synchronousState == "quorum" }
    }

    /// Where `remote_apply` is set: for the server, or for a role or database.
    package struct RemoteApply: Sendable, Hashable {
        /// For people.
        package var place: String
        /// What takes it back.
        package var statement: String

        package init(place: String, statement: String) {
            self.place = place
            self.statement = statement
        }
    }

    /// Where the `wal push` of `archive_command` leads.
    package enum PushTarget: Sendable, Hashable {
        /// Into this repository, under this cluster's name.
        case same
        case other(String)
        /// Not known, and why.
        case notKnown(String)
    }

    /// A segment sent through the archive and read back.
    package enum RoundTrip: Sendable, Hashable {
        /// It was read back and is what was sent; how long it took until it was there.
        case proved(segment: String, took: Duration)
        /// The server says that it archived the segment, and it is not in the repository.
        case elsewhere(segment: String)
        /// It did not come in time.
        case missing(segment: String, waited: Duration)
        /// What came is not what was sent.
        case damaged(segment: String, String)
        /// The role may not end a segment.
        case notAllowed(grant: String)
        /// Not tried, and why.
        case notTried(String)
    }

    /// What the policy and the repository say.
    package struct Wanted: Sendable, Hashable {
        package var cluster: String
        package var rpo: Duration
        package var rto: Duration
        /// For how long every moment must stay restorable.
        package var window: Duration
        /// The `archive_command` of this program, repository and cluster.
        package var archiveCommand: String
        /// From where a base backup has the WAL that it needs.
        package var backupWAL: BackupPolicy.PhysicalSettings.WALCapture

        package init(
            cluster: String, rpo: Duration, rto: Duration, window: Duration, archiveCommand: String,
            backupWAL: BackupPolicy.PhysicalSettings.WALCapture = .stream
        ) {
            self.cluster = cluster
            self.rpo = rpo
            self.rto = rto
            self.window = window
            self.archiveCommand = archiveCommand
            self.backupWAL = backupWAL
        }

        /// The name of the slot that `wal receive` has.
        package var slot: String { ReplicationSlotName(ofCluster: cluster).description }
    }

    package var server: ServerFacts
    package var role: RoleNeeds
    package var wanted: Wanted
    /// This host's clock.
    package var now: Timestamp
    package var clock: ClockDifference
    package var settings: [String: Setting] = [:]
    package var archiver = ArchiverStatus()
    /// How many files wait for the archiver; `nil` if the role may not see it.
    package var waiting: Int64?
    package var slots: [Slot] = []
    /// All slots, temporary ones too.
    package var slotsInUse = 0
    package var sendersInUse = 0
    package var space = WALSpace()
    package var receiver: Receiver?
    package var remoteApply: [RemoteApply] = []
    package var pushTarget: PushTarget?
    /// Whether there is such a program, where the server is on this host.
    package var pushProgramExists: Bool?
    /// Whether the segment that the server archived last is in the repository; `nil` if that is not known.
    package var lastArchivedIsStored: Bool?
    package var roundTrip = RoundTrip.notTried("the repository cannot be used")
    package var reception = Reception.notTried(isStored: nil)
    /// `nil` where the repository could not be read.
    package var backups: Backups?

    package init(server: ServerFacts, role: RoleNeeds, wanted: Wanted, now: Timestamp, clock: ClockDifference) {
        self.server = server
        self.role = role
        self.wanted = wanted
        self.now = now
        self.clock = clock
    }

    /// The value of a setting; `nil` for one that the server does not have or the role may not see.
    package func value(_ name: String) -> String? { settings[name]?.value }

    /// The value of a setting that is a number.
    func number(_ name: String) -> Int64? { value(name).flatMap { Int64($0) } }

    /// The command as the server has it.
    package var archiveCommand: ArchiveCommand { ArchiveCommand(parsing: value("archive_command") ?? "") }

    /// Whether this server hands its WAL to an archiver.
    package var archives: Bool {
        switch value("archive_mode") {
        case "always": true
        case "on": !server.inRecovery
        default: false
        }
    }

    /// What gives settings their values: statements, or where they have to be changed by hand.
    func setting(_ changes: (name: String, value: String)..., action: String? = nil) -> DoctorFinding.Mend {
        var mend = DoctorFinding.Mend()
        var actions: [String] = []
        var reloads = false
        for (name, value) in changes {
            let known = settings[name]
            if known?.isFromCommandLine == true {
                actions.append("The server's command line sets \(name), which wins: change it there to '\(value)'.")
            } else if self.value("allow_alter_system") == "off" {
                actions.append("Set \(name) to '\(value)' where the server's configuration is managed.")
            } else {
                mend.statements.append("ALTER SYSTEM SET \(name) = \(quoteLiteral(value));")
            }
            if known?.needsRestart == true { mend.needsRestart = true } else { reloads = true }
            if known?.isPending == true { actions.append("A change of \(name) is waiting for a restart.") }
        }
        if reloads, !mend.statements.isEmpty { mend.statements.append("SELECT pg_reload_conf();") }
        if let action { actions.append(action) }
        mend.action = actions.isEmpty ? nil : actions.joined(separator: " ")
        return mend
    }
}
