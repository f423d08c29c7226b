import BackupModel
import BackupStorage
import FoundationEssentials
package import PostgresAccess

/// Starts the server on what a physical restore has written, and sees to it that it recovers as planned.
///
/// The server is started under the overlay of ``CloneOverlay`` and asked for it as soon as it answers. It stops at its
/// target before it does anything else, so that what it recovered is proved before it is promoted.
package struct RestoredStart: Sendable {
    let restore: PhysicalRestore
    let prepared: PhysicalRestore.Prepared
    let tools: ClientTools
    /// Where the socket is, what the server says, and the files that say who is let in.
    let folder: String
    /// Settings of the server beside the overlay.
    let settings: [String: String]
    /// What the server finds in its environment of what its commands need there.
    let variables: [String: String]
    let quitsWithThisProgram: Bool

    /// The name of the folder in a data directory whose server goes on when this program ends.
    static let folderName = "apex-backup-server"

    private var request: PhysicalRestore.Request { restore.request }
    private var environment: BackupEnvironment { restore.repository.environment }

    /// Plans to start the server on the directory of `restore`, and to let it go on when this program ends.
    ///
    /// - Throws: what would keep it from starting; nothing was touched.
    package static func plan(
        _ prepared: PhysicalRestore.Prepared, by restore: PhysicalRestore, _ settings: EffectivePolicy
    ) async throws -> RestoredStart {
        let start = RestoredStart(
            prepared, by: restore, tools: try await restore.tools(for: prepared, settings),
            folder: "\(restore.request.directory)/\(folderName)", settings: [:],
            variables: settings.environment.variables.filter {
                restore.request.archive?.needed.contains($0.key) == true
            }, quitsWithThisProgram: false)
        try await start.requirePossible()
        return start
    }

    /// Restores, starts the server, proves its recovery, and records that the backup was restored: one recorded run.
    package func restore() async throws -> StartedServer {
        let clocks = environment.clocks
        let began = clocks.monotonic()
        return try await restore.recorded { id in
            let restored = try await restore.carryOut(prepared, for: id)
            do {
                let (server, outcome) = try await run(comparesCollations: true)
                record(seconds: (clocks.monotonic() - began).seconds, by: id)
                return StartedServer(server, outcome, after: restored)
            } catch {
                throw RunLog.describe(error).leaving(
                    "The files in '\(request.directory)' are complete; the server that was started on them was stopped."
                )
            }
        }
    }

    /// Puts it on record that the backup was restored and recovered.
    func record(seconds: Double, by run: RunID) {
        let fact = BackupFact(kind: .restored, at: environment.clocks.wall(), run: run, seconds: seconds)
        do {
            try restore.repository.record(fact, of: prepared.manifest.id)
        } catch {
            environment.warn("That this backup was restored could not be recorded: \(error.message)")
        }
    }

    /// A start with everything beside the data in `folder`, which is there.
    init(
        _ prepared: PhysicalRestore.Prepared, by restore: PhysicalRestore, tools: ClientTools, folder: String,
        settings: [String: String], variables: [String: String] = [:], quitsWithThisProgram: Bool
    ) {
        self.restore = restore
        self.prepared = prepared
        self.tools = tools
        self.folder = folder
        self.settings = settings
        self.variables = variables
        self.quitsWithThisProgram = quitsWithThisProgram
    }

    /// Starts the server, waits until it has recovered as planned, and does with it what was asked for.
    ///
    /// Whatever fails, the server is stopped.
    func run(comparesCollations: Bool = false) async throws -> (server: CloneServer, outcome: RecoveryOutcome) {
        let (server, overlay) = try await launch()
        do {
            let watch = RecoveryWatch(
                server: server, overlay: overlay, plan: prepared.recovery, environment: environment)
            let replay = try await watch.replay()
            var outcome = RecoveryOutcome(
                state: .paused, replayedLSN: replay.state.replayed ?? prepared.recovery.end.mark.lsn,
                lastTransactionAt: replay.state.lastTransaction, timeline: prepared.recovery.timeline,
                replaySeconds: replay.duration.seconds, isolation: replay.isolation)
            if request.action == .promote || !replay.state.isInRecovery {
                outcome.promoteSeconds = (replay.promotion + (try await watch.promote())).seconds
                outcome.state = .promoted
            }
            outcome.timeline = try await watch.timeline(isPromoted: outcome.state == .promoted)
            if comparesCollations { outcome.collations = try await collations(of: server) }
            if request.action == .shutdown, outcome.state == .paused {
                try await server.stop()
                outcome.state = .shutDown
            }
            return (server, outcome)
        } catch {
            await server.kill()
            throw explained(error)
        }
    }

    /// How the collations of a server that takes connections compare with those that its indexes were built with.
    func collations(of server: CloneServer) async throws -> CollationReport {
        try await CollationInquiry(server: try await server.reachable()).report(
            comparedWith: prepared.record.collations)
    }

    /// `error`, or what is wrong with the WAL that recovery needs, which the server's words may not tell.
    func explained(_ error: any Error) -> any Error {
        let known = RunLog.describe(error)
        guard known.code != .interrupted, !known.code.isDamage else { return error }
        do {
            try requireWAL()
            return error
        } catch let cause {
            return BackupError(
                cause.code, cause.message,
                reason: [cause.reason, known.messageWithReason].compactMap(\.self).joined(separator: "; "),
                remedy: cause.remedy, unchanged: known.unchanged)
        }
    }

    /// Looks whether the archive has, and can read, every segment from where the recovery came to.
    private func requireWAL() throws(BackupError) {
        let archive = try WALArchive(restore.repository, systemIdentifier: prepared.manifest.systemIdentifier)
        let segments = prepared.recovery.segments
        for segment in segments.lazy.flatMap(\.names) {
            guard try archive.isStored(segment) else { throw WALArchive.missing(segment) }
        }
        let reached = try control().recovery.minimum
        for segment in segments.lazy.flatMap(\.names) where segment.end > reached { try archive.read(segment) }
    }

    private func control() throws(BackupError) -> ControlFile {
        if let control = try controlFile(inDataDirectory: request.directory) { return control }
        throw BackupError(
            .objectDamaged, "The restored directory '\(request.directory)' has no control file.",
            remedy: "Restore again.")
    }

    /// Refuses what could not be started, before anything is restored.
    private func requirePossible() async throws {
        guard !request.asPrimary else {
            throw BackupError(
                .usage, "--start does not go together with --as-primary.",
                reason: "what is started here archives nowhere, runs no jobs and listens on a socket only",
                remedy:
                    "Leave --start out, and start the new primary with pg_ctl; or leave --as-primary out to look at "
                    + "the data first.", unchanged: "Nothing was restored.")
        }
        try checkSocketPath(in: folder)
        if let archive = request.archive {
            try await archive.requireAccess(
                to: prepared.manifest.systemIdentifier, as: try CloneServer.owner(ofNew: request.directory),
                having: variables, probe: "apex-backup-\(environment.makeRunID())")
        }
    }

    /// Starts the server.
    func launch() async throws -> (server: CloneServer, overlay: CloneOverlay) {
        let data = try DataDirectory(existing: request.directory)
        if folder.hasPrefix("\(request.directory)/") { try data.makeDirectory(DataPath(Self.folderName)) }
        let own = try DataDirectory(existing: folder)
        try own.replaceFile(DataPath("pg_hba.conf"), content: Array("local all all trust\n".utf8))
        try own.replaceFile(DataPath("pg_ident.conf"), content: [])
        try own.replaceFile(DataPath("server.log"), content: [])
        let overlay = try overlay(data)
        for (setting, dropped) in overlay.dropped.sorted(by: { $0.key < $1.key }) {
            let words = dropped.map { "\($0.name) (\($0.why))" }.joined(separator: ", ")
            environment.note("The server does not load all of \(setting): \(words).")
        }
        let place = CloneServer.Place(
            binDirectory: tools.directory, dataDirectory: request.directory, socketDirectory: folder,
            log: "\(folder)/server.log", superuser: prepared.record.superuser ?? "postgres",
            quitsWithThisProgram: quitsWithThisProgram)
        var settings = settings
        settings["lc_messages"] = "C"
        settings["log_timezone"] = "UTC"
        settings["log_min_messages"] = "warning"
        if prepared.recovery.target != .latest { settings["recovery_target_action"] = "pause" }
        return (try await CloneServer.start(at: place, overlay, settings: settings, variables: variables), overlay)
    }

    private func overlay(_ data: DataDirectory) throws(BackupError) -> CloneOverlay {
        let configuration = CapturedConfiguration(
            settings: try data.content(of: DataPath("postgresql.conf"), limit: 64 << 20),
            alteredSettings: try data.content(of: DataPath("postgresql.auto.conf"), limit: 64 << 20))
        var libraries: [String: String] = [:]
        for setting in OverlaySetting.all where setting.value == .preloadLibraries {
            libraries[setting.name] = configuration.text(of: setting.name)
        }
        return CloneOverlay(
            of: CloneOverlay.Server(
                major: prepared.manifest.server.major, origin: .restored, dataDirectory: request.directory,
                socketDirectory: folder, clusterName: "apex-backup clone", sharedBuffers: Self.sharedBuffers,
                libraries: libraries, installedLibraries: tools.installedLibraries,
                hotStandby: try control().hotStandby.raised(by: prepared.parameterChanges))
        )
        .leaving(Set(settings.keys))
    }

    /// In MiB: PostgreSQL's own, whatever the source had.
    static let sharedBuffers = 128
}

extension PhysicalRestore {
    /// The programs of the server that the backup is of.
    package func tools(for prepared: Prepared, _ settings: EffectivePolicy) async throws -> ClientTools {
        let version = prepared.manifest.server
        let tools = try await ClientTools.find(
            ["postgres"], forServer: version.versionNumber, directory: settings.policy.cluster.bin,
            searchPath: repository.environment.variables["PATH"] ?? "")
        guard tools.major == version.major else {
            throw BackupError(
                .toolMissing, "There is no PostgreSQL \(version.major) server to start.",
                reason: "the nearest is \(tools.major) in \(tools.directory)",
                remedy: "Install the server package of PostgreSQL \(version.major).",
                unchanged: "Nothing was restored.")
        }
        return tools
    }
}

extension ClientTools {
    /// The names of the libraries that a server of this installation can load, without `.so`; `nil` if it is not known
    /// where they are.
    fileprivate var installedLibraries: Set<String>? {
        let root = directory.split(separator: "/").dropLast().map { "/\($0)" }.joined()
        for folder in ["\(root)/lib", "\(root)/lib/postgresql"] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            guard names.contains("plpgsql.so") else { continue }
            return Set(names.filter { $0.hasSuffix(".so") }.map { String($0.dropLast(3)) })
        }
        return nil
    }
}
