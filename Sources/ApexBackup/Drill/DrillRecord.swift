package import BackupModel
import BackupStorage
import PostgresAccess

/// Turns what a drill observed into its reports, and puts them and the ledger entry into the repository.
struct DrillRecord {
    let repository: Repository
    let policy: DrillPolicy
    let policyDigest: SHA256Digest
    let journal: DrillJournal
    var observation: DrillObservation
    let cleanup: DrillCleanup

    private var environment: BackupEnvironment { repository.environment }

    init(
        repository: Repository, policy: DrillPolicy, policyDigest: SHA256Digest, journal: DrillJournal,
        observation: DrillObservation, cleanup: DrillCleanup
    ) {
        self.repository = repository
        self.policy = policy
        self.policyDigest = policyDigest
        self.journal = journal
        self.observation = observation
        self.cleanup = cleanup
        self.observation.recoveryTime = RecoveryTime(
            spans: journal.spans, recoveredAt: journal.recoveredAt, gaveUpAt: journal.gaveUpAt,
            objectives: policy.objectives)
    }

    /// Stores reports, ledger entry and the backup's fact, which says whether recovery was proved.
    ///
    /// A missed objective is no fault of the backup.
    func store() throws(BackupError) -> (report: DrillReport, location: String) {
        let (report, entry) = try appendToLedger()
        if let manifest = journal.manifest {
            let fact = BackupFact(
                kind: .drilled, at: entry.at, run: journal.id, succeeded: report.recoveryTime.total != nil,
                level: report.verdict.rawValue, reason: report.reasons.first,
                seconds: observation.recoveryTime?.total?.seconds, partial: journal.isPartial ? true : nil)
            do {
                try repository.record(fact, of: manifest.id)
            } catch {
                environment.warn("That backup \(manifest.id) was drilled could not be recorded: \(error.message)")
            }
        }
        return (report, "\(repository.storage.location)/\(repository.layout.report(of: entry))")
    }

    /// The entry with the next number, chained to the one before by its digest; another drill may take the number
    /// first, and then this one comes after it.
    private func appendToLedger() throws(BackupError) -> (DrillReport, DrillLedgerEntry) {
        while true {
            let previous = try DrillLedger(repository).newest()
            let report = makeReport(after: previous?.digest)
            let json = try RepositoryJSON.encode(report)
            let entry = DrillLedgerEntry(
                of: report, sha256: SHA256.digest(of: json.span).description, after: previous)
            let key = repository.layout.drillLedgerEntry(entry.number)
            // A report that lost the race for its number is replaced by one under a name of its own.
            let folder = repository.layout.drill(journal.id)
            let base = "report-\(entry.number)"
            _ = try repository.storage.putIfAbsent(repository.layout.report(of: entry), json)
            for format in policy.reportFormats where format == .markdown {
                _ = try repository.storage.putIfAbsent(folder.appending("\(base).md"), Array(report.markdown.utf8))
            }
            if try repository.put(entry, at: key) == .stored { return (report, entry) }
            for name in try repository.storage.children(of: folder) where name.hasPrefix("\(base).") {
                try repository.storage.remove(folder.appending(name))
            }
        }
    }

    /// The report that follows the ledger entry with the digest `previous`.
    func makeReport(after previous: String? = nil) -> DrillReport {
        let difference = journal.source?.position?.clock ?? journal.manifest?.clockDifference
        var report = DrillReport(
            id: journal.id, policy: policy, policySHA256: policyDigest.description,
            clock: .init(t0: journal.declaredAt, finishedAt: environment.clocks.wall(), difference: difference),
            observation: observation)
        report.backup = journal.manifest.map(backupRecord)
        // What is measured to a moment of the source's own clock, or by positions, compares no other.
        if let manifest = journal.manifest, let point = observation.recoveryPoint, point.basis.comparesClocks {
            let isNew = point.failure == nil && journal.source?.position != nil
            report.recoveryPoint?.uncertaintyBasis =
                isNew
                ? "the server's clock against this host's, at the declared failure" : Self.clockComparison(manifest)
            if !isNew { report.assumptions.append(clockAssumption) }
        }
        report.recovery = journal.recovery
        report.cleanup = .init(isDone: cleanup.isDone, proof: cleanup.proof)
        if journal.server != nil {
            report.target = .init(
                systemIdentifier: journal.serverFacts?.systemIdentifier, serverVersion: journal.serverFacts?.version,
                isolation: journal.isolation, overrides: policy.target.overrides)
        }
        report.environment = .init(of: environment)
        report.environment.versions.merge(journal.manifest?.tools ?? [:]) { own, _ in own }
        report.deviations = deviations
        report.chain = .init(previousDigest: previous)
        return report
    }

    /// What the uncertainty of the recovery point rests on.
    private static func clockComparison(_ manifest: BackupManifest) -> String {
        manifest.server.inRecovery
            ? "the standby's clock against that of the host that took the backup, then; the primary's, which stamped "
                + "the data, was not compared"
            : "the server's clock against that of the host that took the backup, then"
    }

    private var clockAssumption: String {
        guard let host = journal.backupHost else {
            return "The clock of this host agrees with that of the host that took the backup."
        }
        return host == environment.host
            ? "The clock of this host was not set between the backup and the drill."
            : "The clock of this host agrees with that of '\(host)', which took the backup."
    }

    /// What went otherwise than in a recovery that people then work with.
    private var deviations: [String] {
        guard journal.server != nil else { return [] }
        let isLogical = policy.source.kind == .logical
        let settings = (isLogical ? DrillRun.serverSettings : [:]).merging(policy.target.overrides) { _, given in given
        }
        let listed = settings.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }.joined(separator: ", ")
        var texts = [
            isLogical
                ? "The server ran with \(listed) and otherwise PostgreSQL's defaults, not with the source's settings."
                : "The server ran with the source's settings but for those that isolate it"
                    + (listed.isEmpty ? "." : " and \(listed).")
        ]
        if let found = journal.serverFacts?.version, let captured = journal.manifest?.server.version, found != captured
        {
            texts.append("The server was PostgreSQL \(found); the backup is of \(captured).")
        }
        return texts + journal.remarks
    }

    private func backupRecord(_ manifest: BackupManifest) -> DrillReport.BackupRecord {
        let selection: String =
            switch policy.source.selection {
            case .latest: "latest"
            case .oldest: "oldest"
            case .id(let id): "id \(id)"
            }
        var record = DrillReport.BackupRecord(
            id: manifest.id, kind: manifest.kind.rawValue, recoveryPoint: manifest.recoveryPoint, selection: selection)
        record.state = journal.state?.rawValue
        record.contentBytes = manifest.totals.contentBytes
        record.storedBytes = manifest.totals.storedBytes
        record.databases = manifest.databases?.map(\.name) ?? []
        record.artefacts = journal.artefacts.map {
            .init(
                name: $0.name, sha256: $0.contentSHA256.description, bytes: $0.contentBytes, storedBytes: $0.storedBytes
            )
        }
        return record
    }
}

/// The drills of a cluster: one entry each, put if absent, each with the digest of the one before.
package struct DrillLedger: Sendable {
    let repository: Repository

    package init(_ repository: Repository) { self.repository = repository }

    /// All entries, oldest first; a break in the chain is an error that names it.
    package func entries() throws(BackupError) -> [DrillLedgerEntry] { try walk().entries }

    /// The newest entry, with the digest of its bytes.
    func newest() throws(BackupError) -> (entry: DrillLedgerEntry, digest: String)? {
        let (entries, digest) = try walk()
        guard let last = entries.last, let digest else { return nil }
        return (last, digest)
    }

    /// All entries, oldest first, and the digest of the newest one's bytes.
    private func walk() throws(BackupError) -> (entries: [DrillLedgerEntry], digest: String?) {
        var entries: [DrillLedgerEntry] = []
        var digest: String?
        for name in try repository.storage.children(of: repository.layout.drillLedger) where name.hasSuffix(".json") {
            let key = repository.layout.drillLedger.appending(name)
            guard let bytes = try repository.storage.readAll(key, limit: Repository.largestJSON) else { continue }
            let entry = try RepositoryJSON.decode(DrillLedgerEntry.self, from: bytes, name: key.text)
            guard entry.number == entries.count + 1, entry.previous == digest else {
                throw BackupError(
                    .objectDamaged, "The drill ledger is broken at '\(key)'.",
                    reason: "its number or the digest of the entry before it is not what it must be",
                    remedy: "Find out who changed the repository; the entries before it are as they were written.")
            }
            entries.append(entry)
            digest = SHA256.digest(of: bytes.span).description
        }
        return (entries, digest)
    }

    /// The report of a drill, `latest` or by its name, checked against the ledger.
    package func report(_ name: String) throws(BackupError) -> (report: DrillReport, location: String) {
        let entries = try entries()
        guard let entry = name == "latest" ? entries.last : entries.last(where: { $0.id.text == name }) else {
            throw BackupError(
                .objectMissing, "There is no drill '\(name)' of '\(repository.layout.cluster)'.",
                remedy: "See 'apex-backup drill list'.", unchanged: "Nothing was changed.")
        }
        let key = repository.layout.report(of: entry)
        guard let bytes = try repository.storage.readAll(key, limit: 64 << 20) else {
            throw BackupError(
                .objectMissing, "The report of drill \(entry.id) is missing: '\(key)'.",
                remedy: "Restore the repository from its copy.")
        }
        guard SHA256.digest(of: bytes.span).description == entry.reportSHA256 else {
            throw BackupError(
                .objectDamaged, "The report of drill \(entry.id) is not the one in the ledger.",
                reason: "its digest is another", remedy: "Find out who changed the repository.")
        }
        let report = try RepositoryJSON.decode(DrillReport.self, from: bytes, name: key.text)
        return (report, "\(repository.storage.location)/\(key)")
    }
}

extension RepositoryLayout {
    /// The key of the JSON report that a ledger entry is about.
    fileprivate func report(of entry: DrillLedgerEntry) -> ObjectKey {
        drill(entry.id).appending("report-\(entry.number).json")
    }
}
