package import BackupModel
import BackupStorage

/// The attempts of a cluster: one record when each begins, one when it ends, so that failed and missed nights stay
/// visible.
package struct RunLog: Sendable {
    let repository: Repository

    package init(repository: Repository) { self.repository = repository }

    /// Whether the run's records must be written before it may begin.
    package enum Duty: Sendable {
        /// No record, no run.
        case required
        /// A read-only repository must not keep anybody from restoring: the record's failure is a warning.
        case bestEffort
    }

    /// Runs `body` as a recorded attempt.
    ///
    /// An attempt on a cluster that is not registered is refused and has no record: there is no place for one.
    package func recorded<Value: Sendable>(
        _ operation: Operation, kind: BackupKind? = nil, settings: String, duty: Duty = .required,
        judge: (Value) -> (RunEnd.Result, BackupError?) = { _ in (.succeeded, nil) },
        _ body: (RunID) async throws -> Value
    ) async throws -> Value {
        try repository.requireRegistration()
        let environment = repository.environment
        let digest = SHA256.digest(of: Array(settings.utf8).span)
        var id: RunID
        repeat {
            id = environment.makeRunID()
        } while try write(
            RunStart(
                id: id, operation: operation, kind: kind, at: environment.clocks.wall(), host: environment.host,
                process: environment.process, toolVersion: environment.toolVersion, settings: digest),
            at: repository.layout.runStart(id), duty: duty) == .present
        let began = environment.clocks.monotonic()
        do {
            let value = try await body(id)
            let (result, error) = judge(value)
            try write(end(result, error: error, since: began), at: repository.layout.runEnd(id), duty: .bestEffort)
            return value
        } catch {
            let known = (error as? BackupError) ?? Self.describe(error)
            let result: RunEnd.Result =
                switch known.code {
                case .interrupted: .interrupted
                case .leaseHeld, .pruneRefused, .clockImplausible, .toolTooOld, .toolMissing, .wrongCluster,
                    .pooledConnection, .serverUnsupported, .settings, .usage:
                    .refused
                default: .failed
                }
            try write(end(result, error: known, since: began), at: repository.layout.runEnd(id), duty: .bestEffort)
            throw known
        }
    }

    /// A cancelled task was asked to stop by a signal; anything else that is not ours is told in its own words.
    package static func describe(_ error: any Error) -> BackupError {
        if let error = error as? BackupError { return error }
        if error is CancellationError {
            return BackupError(
                .interrupted, "The run was asked to stop and did.",
                remedy: "Start it again.", unchanged: "What was not committed does not count.")
        }
        return BackupError(
            .storageFailed, "Something failed that apex-backup has no words for.", reason: "\(error)",
            remedy: "Report this with the output of the command.")
    }

    private func end(_ result: RunEnd.Result, error: BackupError?, since began: Duration) -> RunEnd {
        let clocks = repository.environment.clocks
        return RunEnd(
            at: clocks.wall(), result: result, exitStatus: error?.code.exitStatus ?? 0, error: error,
            seconds: (clocks.monotonic() - began).seconds)
    }

    /// Returns what became of the record; one that need not be written and could not be counts as stored.
    @discardableResult
    private func write(_ record: some Encodable, at key: ObjectKey, duty: Duty) throws(BackupError) -> PutOutcome {
        do {
            return try repository.put(record, at: key)
        } catch  where duty == .bestEffort {
            repository.environment.warn("The run record '\(key)' could not be written: \(error.message)")
            return .stored
        }
    }

    /// An attempt as the catalogue shows it.
    package struct Entry: Sendable, Codable {
        package enum State: String, Sendable, Codable {
            case succeeded, failed, interrupted, refused, running, unreadable
        }

        package var id: RunID
        package var state: State
        package var start: RunStart?
        package var end: RunEnd?
        /// What there is to say of a run that did not end.
        package var problem: String?

        /// Its place in time: names alone do not order runs of the same second.
        fileprivate var place: (Substring, Timestamp, RunID) {
            (id.text.prefix { $0 != "-" }, start?.at ?? Timestamp(microseconds: .max), id)
        }
    }

    /// All attempts, oldest first.
    ///
    /// One that neither ended nor can still be alive was interrupted.
    package func entries() throws(BackupError) -> [Entry] {
        var entries: [Entry] = []
        for name in try repository.storage.children(of: repository.layout.runs) {
            guard let id = RunID(parsing: name) else { continue }
            do {
                let start = try repository.get(RunStart.self, at: repository.layout.runStart(id))
                let end = try repository.get(RunEnd.self, at: repository.layout.runEnd(id))
                entries.append(try entry(id, start, end))
            } catch  where error.code == .objectDamaged {
                entries.append(Entry(id: id, state: .unreadable, problem: error.message))
            }
        }
        return entries.sorted { $0.place < $1.place }
    }

    private func entry(_ id: RunID, _ start: RunStart?, _ end: RunEnd?) throws(BackupError) -> Entry {
        var entry = Entry(id: id, state: .running, start: start, end: end)
        switch end?.result {
        case .succeeded: entry.state = .succeeded
        case .failed: entry.state = .failed
        case .interrupted: entry.state = .interrupted
        case .refused: entry.state = .refused
        case nil where try start.map(isGone) ?? true:
            entry.state = .interrupted
            entry.problem = "it did not record its end: it was killed, or its host stopped"
        case nil where start?.host != repository.environment.host:
            entry.problem = "it has not recorded its end; on its host it may be running, or have been killed"
        case nil: break
        }
        return entry
    }

    /// Whether the run is certainly over, or nothing is known of it any more; a record that cannot be read says neither.
    package func isOver(_ id: RunID) throws(BackupError) -> Bool {
        do {
            guard let start = try repository.get(RunStart.self, at: repository.layout.runStart(id)) else { return true }
            guard try repository.get(RunEnd.self, at: repository.layout.runEnd(id)) == nil else { return true }
            return try isGone(start)
        } catch  where error.code == .objectDamaged {
            return false
        }
    }

    /// Whether a run without an end is certainly over: its process is, or its lease, which another run has taken, or
    /// which, seen from another host, it has given back.
    private func isGone(_ start: RunStart) throws(BackupError) -> Bool {
        if HostFacts.isGone(start.process, on: start.host) { return true }
        // Another's lease says nothing of a run that waits for it.
        if HostFacts.isAlive(start.process, on: start.host) { return false }
        guard start.operation == .backup,
            let holder = try Lease.newestHolder(of: start.kind ?? .logical, in: repository)
        else { return false }
        return start.id < holder.run
            || (start.id == holder.run && holder.isReleased && start.host != repository.environment.host)
    }
}
