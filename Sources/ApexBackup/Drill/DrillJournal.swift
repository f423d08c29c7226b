import BackupModel

/// What happened in a drill, and when, measured from the declared failure.
struct DrillJournal: Sendable {
    let id: RunID
    /// The instant at which the failure is supposed to have happened.
    let declaredAt: Timestamp
    private let clocks: Clocks
    private let origin: Duration
    private let events: @Sendable (BackupEvent) -> Void

    var spans: [DrillSpan] = []
    /// What was being done last.
    var phase = DrillSpan.Phase.select
    private(set) var recoveredAt: Duration?
    private(set) var gaveUpAt: Duration = .zero
    var manifest: BackupManifest?
    /// How far the backup was proved before this drill.
    var state: LadderState?
    /// The host that took the backup, if its run record tells.
    var backupHost: String?
    var artefacts: [Artefact] = []
    /// Whether the policy leaves out a database of the backup.
    var isPartial = false
    var server: DrillServer?
    /// What the source said of itself at the declared failure; `nil` if it was not asked.
    var source: SourceAnswer?
    /// How the WAL behind a physical backup is replayed, as far as it is known.
    var recovery: DrillReport.RecoveryRecord?
    var serverFacts: ServerFacts?
    /// What the server said of the settings that isolate it.
    var isolation: [String] = []
    /// What the choice of the backup and its restore warned of.
    var remarks: [String] = []

    init(id: RunID, clocks: Clocks, events: @escaping @Sendable (BackupEvent) -> Void) {
        self.id = id
        self.clocks = clocks
        self.events = events
        declaredAt = clocks.wall()
        origin = clocks.monotonic()
    }

    /// Time since the declared failure.
    var elapsed: Duration { clocks.monotonic() - origin }

    mutating func measure<Value>(_ phase: DrillSpan.Phase, _ body: () async throws -> Value) async throws -> Value {
        self.phase = phase
        events(.phase("drill: \(phase.rawValue)"))
        let start = elapsed
        do {
            let value = try await body()
            spans.append(DrillSpan(phase, start: start, duration: elapsed - start))
            return value
        } catch {
            spans.append(DrillSpan(phase, start: start, duration: elapsed - start))
            throw error
        }
    }

    /// Gives the last part of the newest span to another phase.
    mutating func cut(_ length: Duration, as phase: DrillSpan.Phase) {
        guard length > .zero, let last = spans.last, let start = last.start, length <= last.duration else { return }
        spans[spans.count - 1].duration -= length
        spans.append(DrillSpan(phase, start: start + last.duration - length, duration: length))
    }

    /// Makes one span of the two newest ones, of the same phase.
    mutating func join() {
        guard let last = spans.last, let end = last.start.map({ $0 + last.duration }), spans.count > 1,
            spans[spans.count - 2].phase == last.phase, let start = spans[spans.count - 2].start
        else { return }
        spans.removeLast()
        spans[spans.count - 1].duration = end - start
    }

    /// The phases of a restore, one after another from `start`.
    mutating func add(_ phases: [PhaseDuration], from start: Duration, bytes: Int64) {
        var at = start
        var bytes: Int64? = bytes
        for entry in phases {
            let length = Duration.seconds(entry.seconds)
            let phase = Self.phase(ofRestore: entry.name)
            if let last = spans.last, last.phase == phase, last.start.map({ $0 + last.duration }) == at {
                spans[spans.count - 1].duration += length
            } else {
                spans.append(DrillSpan(phase, start: at, duration: length))
            }
            if entry.name == "restore", let moved = bytes.take() { spans[spans.count - 1].bytes = moved }
            at += length
        }
    }

    private static func phase(ofRestore name: String) -> DrillSpan.Phase {
        switch name {
        case "analyze": .warmUp
        case "compare": .verify
        case "fetch": .fetch
        default: .restore
        }
    }

    mutating func recovered() { recoveredAt = elapsed }
    mutating func gaveUp() { gaveUpAt = elapsed }
    mutating func cleanedUp(since start: Duration) {
        spans.append(DrillSpan(.cleanup, start: start, duration: elapsed - start))
    }

    /// What an error says of the drill: something wrong with the backup or the restored server, or something that kept
    /// it from proving anything.
    static func fault(_ error: any Error, during phase: DrillSpan.Phase) -> DrillFault {
        let known = RunLog.describe(error)
        let text = known.messageWithReason
        switch known.code {
        case .interrupted: return .aborted(text)
        case .backupMissing, .backupAborted: return .noBackup(text)
        // What is stored does not reach so far.
        case .walMissing, .momentUnreachable: return .failedRestore(text)
        case _ where known.code.isDamage: return .damagedBackup(text)
        case .walSegmentInvalid: return .damagedBackup(text)
        // What the policy wants restored is not in the backup.
        case .usage where phase == .select: return .failedRestore(text)
        case .repositoryMissing, .repositoryUnavailable, .repositoryNewer, .clusterNotRegistered:
            return .noRepository(text)
        case .settings where phase == .provision: return .wrongPolicy(text)
        case .toolMissing, .toolTooOld, .repositoryFull: return .noTarget(text)
        case .permissionDenied where phase == .select, .storageFailed where phase == .select:
            return .noRepository(text)
        // What the drill itself may not write, or the system's own words when the host lacks room or memory.
        case .permissionDenied where phase == .restore: return .noTarget(text)
        case _ where text.contains("No space left on device") || text.contains("Cannot allocate memory"):
            return .noTarget(text)
        default:
            switch phase {
            case .provision, .select: return .noTarget(text)
            case .verify, .deepVerify: return .failedServer(text)
            default: return .failedRestore(text)
            }
        }
    }
}
