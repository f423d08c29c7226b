package import BackupModel
import BackupStorage
import PostgresAccess

/// Looks at a server, its role, and the way of its WAL into the repository, and says what is wrong and what mends it.
///
/// It changes nothing but to write heartbeats, for the round trip and to measure commits, and to end a WAL segment; what
/// it tries in the storage it removes.
package struct Doctor: Sendable {
    let settings: EffectivePolicy
    /// How long to wait for a segment to reach the repository; `nil` sends none.
    let patience: Duration?
    var longestSilence = PostgresSession.longestSilence
    /// Whether the promises of the storage are tried, with objects that are removed again.
    let checksStorage: Bool

    package init(settings: EffectivePolicy, patience: Duration?, checksStorage: Bool) {
        self.settings = settings
        self.patience = patience
        self.checksStorage = checksStorage
    }

    /// All findings, the worst first.
    ///
    /// - Throws: ``ErrorCode/settings`` when it is not known what to look at. A server that does not answer and a
    ///   repository that is not there are findings.
    package func run() async throws -> [DoctorFinding] {
        let connection = try settings.connection()
        let command = try WALCommands(settings).push
        let place = try openRepository()
        do {
            return try await PostgresSession.with(
                connection, applicationName: "apex-backup doctor", timeout: DumpSource.connectTimeout,
                longestSilence: longestSilence
            ) { session in
                // Settings would stay in a pool, and others commit without their standby.
                try await session.requireDirectConnection()
                // What is written here must not wait for a standby that may be gone; and a database could put objects of
                // its own before PostgreSQL's.
                try await session.execute("SET synchronous_commit = local; SET search_path = ''")
                let facts = try await gatherFacts(from: session, archiveCommand: command)
                return try await judge(facts, place, through: session)
            }
        } catch {
            let known = RunLog.describe(error)
            guard known.code != .interrupted, known.code != .settings else { throw known }
            let isGone = known.code == .serverUnreachable || known.code == .serverConnectionLost
            return DoctorFinding.worstFirst(
                [Self.finding(isGone ? .serverUnreachable : .serverRefused, known), place.finding]
                    + (try place.repository.map { try lookAtStorage(of: $0) } ?? []))
        }
    }

    /// Adds what the repository has to say of the server, and judges all of it.
    private func judge(
        _ facts: DoctorFacts, _ place: (repository: Repository?, finding: DoctorFinding),
        through session: PostgresSession
    ) async throws -> [DoctorFinding] {
        var facts = facts
        guard let repository = place.repository else {
            return DoctorFinding.worstFirst([place.finding] + facts.findings)
        }
        var findings = [place.finding]
        do {
            findings += try lookAtStorage(of: repository)
            let cluster = cluster(facts.server.systemIdentifier, in: repository)
            findings.append(cluster)
            let whole = try wholeBackups(of: facts, in: repository)
            try lookIntoRepository(repository, with: whole, of: &facts)
            if cluster.level == .ok {
                try await watchReceiver(through: session, into: repository, &facts)
                try await sendSegment(through: session, into: repository, &facts)
            } else {
                facts.roundTrip = .notTried("the server is not registered")
            }
            // What was sent is part of what the archive has.
            let archived = try archived(behind: whole, of: facts, in: repository)
            facts.backups?.archived = archived
        } catch let error as BackupError where error.isOfRepository {
            findings[0] = Self.finding(.repository, error)
        }
        return DoctorFinding.worstFirst(findings + facts.findings)
    }

    private static func finding(_ code: DoctorFinding.Code, _ error: BackupError) -> DoctorFinding {
        DoctorFinding(code, .error, error.message, why: error.reason, mend: .init(action: error.remedy))
    }

    /// The repository, if it can be opened, and what there is to say of it.
    private func openRepository() throws(BackupError) -> (repository: Repository?, finding: DoctorFinding) {
        do {
            let repository = try settings.repository()
            try repository.requireRegistration()
            return (
                repository,
                DoctorFinding(
                    .repository, .ok,
                    "The repository \(repository.storage.location) can be read, and has the cluster "
                        + "'\(repository.layout.cluster)'.")
            )
        } catch {
            guard error.code != .settings else { throw error }
            return (nil, Self.finding(.repository, error))
        }
    }

    /// What there is to say of the storage itself.
    private func lookAtStorage(of repository: Repository) throws(BackupError) -> [DoctorFinding] {
        var findings: [DoctorFinding] = []
        // The marker of a directory says that too, if it is a copy of a bucket.
        if repository.storage is S3Storage {
            do throws(BackupError) {
                findings.append(
                    .objectStore(
                        repository.marker.store ?? .least, access: try WALCommands(settings).access,
                        unfinishedUploads: try repository.storage.temporaryFiles(under: nil).count))
            } catch {
                // What a store refuses is not the server's word.
                guard error.code != .interrupted else { throw error }
                findings.append(Self.finding(.objectStore, error))
            }
        }
        if checksStorage { findings.append(contract(of: repository)) }
        return findings
    }

    private func contract(of repository: Repository) -> DoctorFinding {
        do throws(BackupError) {
            return .storageContract(try repository.storageViolations())
        } catch {
            return .storageNotTried(error)
        }
    }

    private func cluster(_ systemIdentifier: String, in repository: Repository) -> DoctorFinding {
        do throws(BackupError) {
            try repository.requireIncarnation(systemIdentifier)
            return DoctorFinding(.cluster, .ok, "The server is the one that the cluster's name stands for.")
        } catch {
            return Self.finding(.cluster, error)
        }
    }

    /// What backups there are, and where the server's own `wal push` leads.
    private func lookIntoRepository(
        _ repository: Repository, with whole: [BackupManifest], of facts: inout DoctorFacts
    ) throws {
        facts.backups = .init(
            newest: whole.map(\.recoveryPoint).max(),
            newestPhysical: whole.filter { $0.kind == .physical }.map(\.recoveryPoint).max())
        if case .push(let push) = facts.archiveCommand.content {
            facts.pushTarget = target(of: push, beside: repository)
        }
        facts.lastArchivedIsStored = try isStored(facts.archiver.lastArchived, of: facts, in: repository)
    }

    /// Whether the repository has a segment; `nil` for another kind of file.
    private func isStored(_ name: String?, of facts: DoctorFacts, in repository: Repository) throws -> Bool? {
        guard let name, WALSegmentName(parsing: name, segmentSize: facts.segmentSize) != nil else { return nil }
        return try WALArchive(repository, systemIdentifier: facts.server.systemIdentifier).holdsFile(named: name)
    }

    /// Where a `wal push` stores that PostgreSQL runs, whose environment is not this one.
    private func target(of push: ArchiveCommand.Push, beside repository: Repository) -> DoctorFacts.PushTarget {
        var flags = EffectivePolicy.Flags()
        flags.policy = push.policy
        flags.repository = push.repository
        flags.cluster = push.cluster
        if let policy = push.policy, !policy.hasPrefix("/") {
            return .notKnown("its policy '\(policy)' is a relative path")
        }
        do throws(BackupError) {
            var environment = settings.environment
            environment.variables = [:]
            let theirs = try EffectivePolicy.load(flags, environment: environment)
            guard let address = theirs.policy.repositories.first else {
                return .notKnown("it names no repository, and the environment of the server is not known")
            }
            let location = try RepositoryAddress(parsing: address).location
            guard location == repository.storage.location else {
                return .other("into \(location), and this repository is \(repository.storage.location)")
            }
            guard theirs.policy.name == repository.layout.cluster else {
                return .other(
                    "under the name '\(theirs.policy.name)', and this cluster is '\(repository.layout.cluster)'")
            }
            return .same
        } catch {
            return .notKnown(error.message)
        }
    }

    private func sendSegment(
        through session: PostgresSession, into repository: Repository, _ facts: inout DoctorFacts
    ) async throws {
        guard let patience else {
            facts.roundTrip = .notTried("--no-round-trip")
            return
        }
        guard facts.canSendSegment else {
            facts.roundTrip = .notTried("archive_command stores none")
            return
        }
        guard facts.role.isSuperuser || facts.role.maySwitchWAL else {
            facts.roundTrip = .notAllowed(grant: facts.role.grantOfSwitch)
            return
        }
        facts.roundTrip = try await ArchiveRoundTrip(
            session: session, archive: WALArchive(repository, systemIdentifier: facts.server.systemIdentifier),
            segmentSize: facts.segmentSize, patience: patience
        ).run()
        // What the archiver did meanwhile is what counts.
        facts.archiver = try await session.archiver()
        facts.waiting = try await session.filesWaiting(for: facts.role)
        facts.lastArchivedIsStored = try isStored(facts.archiver.lastArchived, of: facts, in: repository)
    }
}

extension DoctorFacts {
    var segmentSize: WALSegmentSize {
        value("wal_segment_size").flatMap { Int64($0) }.flatMap { WALSegmentSize(bytes: $0) } ?? .standard
    }

    /// Whether a segment would be handed to anything that might store it.
    fileprivate var canSendSegment: Bool {
        guard archives, !server.inRecovery else { return false }
        if value("archive_library")?.isEmpty == false { return true }
        switch archiveCommand.content {
        case .empty, .storesNothing: return false
        case .push, .other, .notUnderstood: return true
        }
    }
}

extension BackupError {
    /// Whether it comes from the repository, and not from the server.
    fileprivate var isOfRepository: Bool {
        switch code {
        case .serverUnreachable, .authenticationFailed, .permissionDenied, .serverRefused, .serverConnectionLost,
            .serverUnsupported, .pooledConnection, .queryFailed, .interrupted, .settings:
            false
        default: true
        }
    }
}
