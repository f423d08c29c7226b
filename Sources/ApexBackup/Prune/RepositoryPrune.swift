package import BackupModel
import BackupStorage

/// Applies retention: removes what no rule keeps, and what runs that died left behind.
///
/// Every step is safe to repeat. A backup gets its tombstone first and no longer counts from then on; then its data
/// goes, then its manifest, then its facts. A run that died is given up by putting `manifest.json` if absent: exactly
/// one of that and a commit happens.
package struct RepositoryPrune: Sendable {
    let repository: Repository
    let policy: RetentionPolicy
    /// Whether an implausible clock is known to be right.
    let trustsClock: Bool
    private let wal: WALPrune

    /// `window` is for how long every moment stays restorable that physical backups and WAL can restore.
    package init(
        repository: Repository, policy: RetentionPolicy, window: Duration = BackupPolicy.standardWindow,
        trustsClock: Bool
    ) {
        wal = WALPrune(repository: repository, window: window)
        self.repository = repository
        self.policy = policy
        self.trustsClock = trustsClock
    }

    /// What would be removed, and why everything else stays.
    package struct Plan: Sendable {
        package var retention: RetentionPlan
        /// Backups whose removal an earlier run began.
        package var unfinished: [RunID]
        /// Runs without a commit: given up if their lease is stale.
        package var leftovers: [RunID]
        /// Run records older than ``recordsKept``.
        package var oldRuns: [RunID]
        /// The WAL that goes when the backups are gone.
        package var wal: [WALPrune.Plan]
        /// What writers of WAL that died have left.
        package var abandoned: [UnfinishedWrite]
    }

    /// What was removed.
    package struct Result: Sendable, Codable {
        package var removed: [RunID] = []
        package var givenUp: [RunID] = []
        package var stillRunning: [RunID] = []
        /// Files of WAL.
        package var walFiles = 0
        /// Files of WAL that their writers had not finished when they died.
        package var unfinishedFiles = 0
        package var bytes: Int64 = 0
    }

    /// Run records and the marks of runs that were given up are kept this long.
    static let recordsKept: Duration = .seconds(400 * 86_400)

    /// Plans without touching anything.
    package func plan() throws(BackupError) -> Plan {
        try repository.requireRegistration()
        let entries = try Catalogue(repository).entries()
        let runs = try RunLog(repository: repository).entries()
        let now = repository.environment.clocks.wall()
        let candidates = entries.compactMap(Self.candidate)
        let history = ClockGuard.History(
            backups: candidates.map(\.startedAt), runs: runs.compactMap { $0.start?.at },
            believedUntil: Self.lastPrune(among: runs, until: now))
        if !trustsClock, let refusal = ClockGuard.refusal(now: now, history: history) { throw refusal }
        for entry in entries {
            if case .unreadable(let error) = entry.content {
                repository.environment.warn("\(error.message) It is kept: what it holds is not known.")
            }
        }
        var retention = policy.plan(for: candidates, at: now)
        let wal = try wal.plans(
            for: entries, expiring: Set(retention.expired.map(\.candidate.id)), at: now)
        for plan in wal { retention.keep(plan.retention.rescued) }
        return Plan(
            retention: retention,
            unfinished: entries.filter { $0.isTombstoned && !$0.isUnreadable }.map(\.id),
            leftovers: try leftovers(among: entries, now: now),
            oldRuns: oldRuns(among: runs, now: now), wal: wal, abandoned: try abandonedWrites(at: now))
    }

    /// Plans and carries the plan out as a recorded run; a refusal is recorded too.
    package func recorded() async throws -> (plan: Plan, result: Result) {
        try await RunLog(repository: repository).recorded(.prune, settings: "\(policy)") { run in
            let plan = try plan()
            return (plan, try await apply(plan, as: run))
        }
    }

    /// Carries the plan out, as the recorded run `run`.
    package func apply(_ plan: Plan, as run: RunID) async throws -> Result {
        var result = Result()
        for expired in plan.retention.expired {
            try Task.checkNotCancelled()
            try requireUnchanged(plan)
            // Somebody may have held it since the plan was made.
            guard let entry = try Catalogue(repository).entry(expired.candidate.id), entry.isRemovable else { continue }
            let fact = BackupFact(
                kind: .tombstone, at: repository.environment.clocks.wall(), run: run, reason: expired.reason)
            try repository.record(fact, of: expired.candidate.id)
            if try mustStay(expired.candidate.id, in: run) { continue }
            result.bytes += try remove(expired.candidate.id)
            result.removed.append(expired.candidate.id)
        }
        for id in plan.unfinished {
            try Task.checkNotCancelled()
            if try mustStay(id, in: run) { continue }
            result.bytes += try remove(id)
            result.removed.append(id)
        }
        for id in plan.leftovers {
            try Task.checkNotCancelled()
            do {
                if let bytes = try await giveUp(id, by: run) {
                    result.givenUp.append(id)
                    result.bytes += bytes
                } else {
                    result.stillRunning.append(id)
                }
            } catch let error as BackupError where error.code == .objectDamaged {
                repository.environment.warn(
                    "\(error.message) What run \(id) left stays while it is there: put it back from a copy of the "
                        + "repository, or, when that run is over, remove it.")
            }
        }
        try applyWAL(to: &result)
        result.bytes += try remove(plan.abandoned)
        result.unfinishedFiles = plan.abandoned.count
        WALIndexing(repository: repository).runAfterwards()
        try tidyUp()
        for id in plan.oldRuns { try removeRecord(id) }
        let layout = repository.layout
        for kind in BackupKind.allCases { try Lease.removeOldEpochs(of: kind, in: repository) }
        for folder in [layout.backups, layout.runs] + BackupKind.allCases.map(layout.leases) {
            try repository.storage.removeEmptyFolders(under: folder)
        }
        return result
    }

    /// Decides anew what WAL goes: a backup that was held meanwhile is still there, and needs its own.
    private func applyWAL(to result: inout Result) throws(BackupError) {
        do throws(BackupError) {
            let plans = try wal.plans(
                for: try Catalogue(repository).entries(), expiring: [], at: repository.environment.clocks.wall())
            for plan in plans {
                let (files, bytes) = try wal.apply(plan)
                result.walFiles += files
                result.bytes += bytes
            }
        } catch {
            var known = error
            // What it says was true before the backups went.
            if known.unchanged != nil { known.unchanged = "The backups that were to go are gone; no WAL was removed." }
            throw known
        }
    }

    private static func candidate(_ entry: CatalogueEntry) -> RetentionCandidate? {
        guard let manifest = entry.manifest else { return nil }
        return RetentionCandidate(
            id: entry.id, kind: manifest.kind, systemIdentifier: manifest.systemIdentifier,
            scope: manifest.scope, startedAt: manifest.startedAt,
            // A fact that cannot be read may be the failed verification.
            isVerified: entry.unreadableFact == nil && entry.state >= .verified,
            isDamaged: entry.failedVerification != nil || manifest.isOfDamagedSource, isHeld: !entry.isRemovable,
            holdReason: entry.hold?.reason ?? entry.unreadableFact.map { "a fact is unreadable: \($0.message)" })
    }

    /// When the last prune began that was carried out to its end.
    private static func lastPrune(among runs: [RunLog.Entry], until now: Timestamp) -> Timestamp? {
        runs.filter { $0.state == .succeeded && $0.start?.operation == .prune }.compactMap { $0.start?.at }
            .filter { $0 <= now }.max()
    }

    /// Refuses to go on when a backup because of which others may go is gone or damaged since the plan was made.
    private func requireUnchanged(_ plan: Plan) throws(BackupError) {
        for kept in plan.retention.kept where kept.reasons.contains(where: \.letsOthersGo) {
            let id = kept.candidate.id
            let now = try Catalogue(repository).entry(id).flatMap(Self.candidate)
            let isAsPlanned =
                now.map { $0.isDamaged == kept.candidate.isDamaged && $0.isVerified == kept.candidate.isVerified }
                ?? false
            guard isAsPlanned || (now?.isVerified ?? false) else {
                throw BackupError(
                    .pruneRefused, "Backup \(id), which was to stay, changed while others were removed because of it.",
                    reason: now == nil ? "it is gone" : "a verification found it damaged",
                    remedy: "Repeat the command: it plans anew.", unchanged: "No more backups were removed.")
            }
        }
    }

    /// Runs without a commit, and runs given up of which more is left than the mark that must outlive them for a while.
    private func leftovers(among entries: [CatalogueEntry], now: Timestamp) throws(BackupError) -> [RunID] {
        var found: [RunID] = []
        for entry in entries {
            switch entry.content {
            case .running where !entry.isTombstoned: found.append(entry.id)
            case .aborted(let mark):
                let names = try repository.storage.children(of: repository.layout.backup(entry.id))
                if names != ["manifest.json"] || now.since(mark.at) > Self.recordsKept { found.append(entry.id) }
            case .running, .committed, .unreadable: continue
            }
        }
        return found
    }

    /// Removes a tombstoned backup; the manifest outlives the data and the facts outlive the manifest, so that what is
    /// left after a crash is always recognised.
    private func remove(_ id: RunID) throws(BackupError) -> Int64 {
        let bytes = try removeData(of: id)
        try repository.storage.remove(repository.layout.manifest(id))
        try removeFacts(of: id)
        return bytes
    }

    /// Removes the facts of a backup, its tombstones last.
    private func removeFacts(of id: RunID) throws(BackupError) {
        let facts = repository.layout.facts(id)
        let names = try repository.storage.children(of: facts)
        try repository.storage.remove(names.filter { !$0.contains("-tombstone-") }.map(facts.appending))
        try repository.storage.remove(names.filter { $0.contains("-tombstone-") }.map(facts.appending))
    }

    /// Removes what runs left that were killed in the moment in which they began, or had just committed.
    private func tidyUp() throws(BackupError) {
        let layout = repository.layout
        for id in try repository.storage.children(of: layout.backups).compactMap({ RunID(parsing: $0) }) {
            guard try repository.storage.info(layout.running(id)) != nil,
                try Catalogue(repository).entry(id)?.manifest != nil
            else { continue }
            try repository.storage.remove(layout.running(id))
            // Anybody may be recording a fact of a backup, under no lease.
            let facts = "\(layout.facts(id))/"
            try removeTemporaryFiles(of: id) { !$0.text.hasPrefix(facts) }
        }
        let folders = try repository.storage.temporaryFiles(under: layout.backups).map { key in
            String(key.text.dropFirst(layout.backups.text.count + 1).prefix { $0 != "/" })
        }
        for id in Set(folders).compactMap({ RunID(parsing: $0) }) {
            guard try Catalogue(repository).entry(id) == nil else { continue }
            // It has no object yet: only the run that holds a lease may still be about to make one.
            var mayBegin = false
            for kind in BackupKind.allCases {
                let holder = try Lease.newestHolder(of: kind, in: repository)
                if let holder, holder.run == id, !holder.isReleased { mayBegin = true }
            }
            if mayBegin { continue }
            try removeTemporaryFiles(of: id)
        }
    }

    private func removeTemporaryFiles(
        of id: RunID, where isLeft: (ObjectKey) -> Bool = { _ in true }
    ) throws(BackupError) {
        let files = try repository.storage.temporaryFiles(under: repository.layout.backup(id))
        try repository.storage.removeTemporaryFiles(files.filter(isLeft))
    }

    /// Removes everything of a backup but its manifest and facts.
    private func removeData(of id: RunID) throws(BackupError) -> Int64 {
        let folder = repository.layout.backup(id)
        var bytes: Int64 = 0
        let keys = try repository.storage.children(of: folder).filter { $0 != "manifest.json" && $0 != "facts" }
            .map(folder.appending)
        for key in keys { bytes += try repository.storage.info(key)?.size ?? 0 }
        try repository.storage.remove(keys)
        try removeTemporaryFiles(of: id)
        return try bytes + removePacks(of: id)
    }

    /// Removes the packs that a backup made, under whichever system identifier.
    private func removePacks(of id: RunID) throws(BackupError) -> Int64 {
        var bytes: Int64 = 0
        for incarnation in try repository.incarnations() {
            guard let objects = repository.layout.incarnationObjects(incarnation.systemIdentifier) else { continue }
            let folder = objects.packs(of: id)
            let keys = try repository.storage.children(of: folder).map(folder.appending)
            for key in keys { bytes += try repository.storage.info(key)?.size ?? 0 }
            try repository.storage.remove(keys)
            try repository.storage.removeTemporaryFiles(repository.storage.temporaryFiles(under: folder))
        }
        return bytes
    }

    /// Gives up a run that certainly no longer runs; returns the bytes removed, or `nil` when it still runs.
    private func giveUp(_ id: RunID, by run: RunID) async throws -> Int64? {
        let catalogue = Catalogue(repository)
        if case nil = try catalogue.document(of: id) {
            let running = try repository.get(RunningBackup.self, at: repository.layout.running(id))
            let lease = Lease(repository: repository, kind: running?.kind ?? .logical, epoch: running?.leaseEpoch ?? 0)
            if running != nil, try await lease.observe() == .alive { return nil }
            let mark = AbortedRun(
                at: repository.environment.clocks.wall(), by: run, reason: "its lease had no heartbeat")
            _ = try repository.put(ManifestDocument.aborted(mark), at: repository.layout.manifest(id))
        }
        guard case .aborted(let mark) = try catalogue.document(of: id) else { return nil }
        let bytes = try removeData(of: id)
        // Whoever read the run while it was a backup may have recorded what came of it.
        try removeFacts(of: id)
        if repository.environment.clocks.wall().since(mark.at) > Self.recordsKept {
            try repository.storage.remove(repository.layout.manifest(id))
        }
        return bytes
    }

    private func oldRuns(among runs: [RunLog.Entry], now: Timestamp) -> [RunID] {
        runs.filter { entry in
            guard let at = entry.start?.at else { return false }
            return now.since(at) > Self.recordsKept && entry.state != .running
        }.map(\.id)
    }

    private func removeRecord(_ id: RunID) throws(BackupError) {
        try repository.storage.remove(repository.layout.runEnd(id))
        try repository.storage.remove(repository.layout.runStart(id))
        try repository.storage.removeTemporaryFiles(
            repository.storage.temporaryFiles(under: repository.layout.run(id)))
    }
}

extension KeepReason {
    /// Whether older backups may go because this one stays.
    fileprivate var letsOthersGo: Bool {
        switch self {
        case .newestVerified, .newestUndamaged, .minimum, .recovery: true
        case .held, .recent, .counted, .slot, .noRule: false
        }
    }
}
