package import BackupModel
import BackupStorage

/// A backup, or what is left of an attempt at one, as the repository shows it.
package struct CatalogueEntry: Sendable {
    /// What stands behind an entry.
    package enum Content: Sendable {
        /// A backup.
        case committed(BackupManifest)
        /// Being taken now, or left by a run that died: no backup.
        case running
        /// Given up by prune: no backup.
        case aborted(AbortedRun)
        /// Its manifest cannot be believed.
        case unreadable(BackupError)
    }

    package var id: RunID
    package var content: Content
    /// In the order they happened.
    package var facts: [BackupFact]
    /// The first fact that cannot be read: what it says, a hold perhaps, is not known.
    package var unreadableFact: BackupError?

    package init(id: RunID, content: Content, facts: [BackupFact], unreadableFact: BackupError? = nil) {
        self.id = id
        self.content = content
        self.facts = facts
        self.unreadableFact = unreadableFact
    }

    package var manifest: BackupManifest? {
        if case .committed(let manifest) = content, !isTombstoned { manifest } else { nil }
    }

    package var state: LadderState { manifest == nil ? .captured : .proved(by: facts) }

    package var isTombstoned: Bool { facts.contains { $0.kind == .tombstone } }

    /// The reason it is held, or `nil` when nothing holds it.
    package var hold: BackupFact? {
        let last = facts.last { $0.kind == .hold || $0.kind == .release }
        return last?.kind == .hold ? last : nil
    }

    /// Whether retention may remove it: nothing holds it, and no fact that might hold it is unreadable.
    package var isRemovable: Bool { manifest != nil && hold == nil && unreadableFact == nil }

    /// Whether its manifest cannot be read.
    var isUnreadable: Bool { if case .unreadable = content { true } else { false } }

    /// Whether `other` stands behind it: by the second of the name, and within one by the recovery point,
    /// behind which is what has none.
    func isOlder(than other: CatalogueEntry) -> Bool {
        if id.second == other.id.second, manifest?.recoveryPoint != other.manifest?.recoveryPoint {
            guard let point = manifest?.recoveryPoint else { return false }
            guard let otherPoint = other.manifest?.recoveryPoint else { return true }
            return point < otherPoint
        }
        return id < other.id
    }

    package func last(_ kind: BackupFact.Kind, succeeded: Bool = true) -> BackupFact? {
        facts.last { $0.kind == kind && $0.succeeded == succeeded }
    }

    /// The newest verification, if it found the backup damaged; one that read less than digests takes nothing back.
    package var failedVerification: BackupFact? {
        let last = facts.last { $0.kind == .verified && !($0.succeeded && $0.level == "list") }
        return last?.succeeded == false ? last : nil
    }
}

/// All backups of a cluster.
package struct Catalogue: Sendable {
    package let repository: Repository

    package init(_ repository: Repository) { self.repository = repository }

    /// Everything under `backups/`, oldest first.
    package func entries() throws(BackupError) -> [CatalogueEntry] {
        var entries: [CatalogueEntry] = []
        for name in try repository.storage.children(of: repository.layout.backups) {
            guard let id = RunID(parsing: name) else { continue }
            if let entry = try entry(id) { entries.append(entry) }
        }
        return entries.sorted { $0.isOlder(than: $1) }
    }

    /// The newest committed backup of a kind, or of any; older ones are not read.
    package func newestBackup(kind: BackupKind? = nil) throws(BackupError) -> CatalogueEntry? {
        var newest: CatalogueEntry?
        for name in try repository.storage.children(of: repository.layout.backups).reversed() {
            guard let id = RunID(parsing: name) else { continue }
            if let newest, newest.id.second != id.second { return newest }
            guard let entry = try entry(id), let manifest = entry.manifest, kind == nil || manifest.kind == kind
            else { continue }
            if newest?.isOlder(than: entry) != false { newest = entry }
        }
        return newest
    }

    /// SHA-256 of the stored manifest of the newest backup, if there is one.
    func newestManifestDigest() throws(BackupError) -> SHA256Digest? {
        guard let newest = try newestBackup() else { return nil }
        let key = repository.layout.manifest(newest.id)
        return try repository.storage.readAll(key, limit: Repository.largestJSON).map { SHA256.digest(of: $0.span) }
    }

    /// The committed backups, oldest first.
    package func backups() throws(BackupError) -> [CatalogueEntry] { try entries().filter { $0.manifest != nil } }

    /// The backup that the operator named, or the newest when it was `latest`.
    package func backup(named name: String, kind: BackupKind? = nil) throws(BackupError) -> CatalogueEntry {
        if name == "latest" { return try newest(kind: kind) }
        guard let id = RunID(parsing: name) else {
            throw BackupError(
                .usage, "'\(name)' is not the name of a backup.",
                remedy: "Names look like 20261121T020000Z-7f3a: see 'apex-backup list'.",
                unchanged: "Nothing was changed.")
        }
        guard let entry = try entry(id), !entry.isTombstoned else { throw missing(name, reason: nil) }
        switch entry.content {
        case .committed: return entry
        case .running: throw missing(name, reason: "that run has not committed, or was interrupted")
        case .aborted(let run): throw missing(name, reason: "it was given up by run \(run.by): \(run.reason)")
        case .unreadable(let error): throw error
        }
    }

    private func newest(kind: BackupKind?) throws(BackupError) -> CatalogueEntry {
        let all = try entries()
        let candidates = all.filter { entry in
            entry.manifest.map { (kind == nil || $0.kind == kind) && !$0.isOfDamagedSource } ?? false
        }
        guard let last = candidates.last else {
            for entry in all.reversed() {
                guard case .unreadable(let error) = entry.content else { continue }
                throw BackupError(
                    error.code,
                    "No backup of '\(repository.layout.cluster)' can be read; the newest, \(entry.id): "
                        + error.message, reason: error.reason,
                    remedy: "Put its manifest back from a copy of the repository, or restore its dumps by hand, as its "
                        + "RESTORE.md says.", unchanged: "Nothing was changed.")
            }
            throw BackupError(
                .backupMissing,
                "There is no \(kind == .physical ? "physical " : "")backup of '\(repository.layout.cluster)' in "
                    + "'\(repository.storage.location)'.",
                reason: all.last { $0.manifest?.isOfDamagedSource == true }.map {
                    "\($0.id) is of a server with damaged pages, and is restored only when it is named"
                },
                remedy:
                    "Take one with 'apex-backup backup\(kind == .physical ? " --kind physical" : "")'; failed attempts "
                    + "are in 'apex-backup list --runs'.",
                unchanged: "Nothing was changed.")
        }
        for entry in all where entry.id > last.id {
            if case .unreadable(let error) = entry.content {
                throw BackupError(
                    .objectDamaged, "A newer backup, \(entry.id), cannot be read: \(error.message)",
                    reason: error.reason,
                    remedy: "Name the backup to use instead: \(last.id) is the newest that can be read.",
                    unchanged: "Nothing was changed.")
            }
        }
        return last
    }

    /// The newest backup before `manifest` of which more was asked for.
    func wider(than manifest: BackupManifest) throws(BackupError) -> BackupManifest? {
        try backups().last {
            $0.id < manifest.id && $0.manifest?.kind == manifest.kind && $0.failedVerification == nil
                && $0.manifest?.systemIdentifier == manifest.systemIdentifier
                && $0.manifest.map(manifest.isNarrower) == true
        }?.manifest
    }

    /// The newest logical backup that holds the database, of those that can be read and of which no damage is known.
    func newest(holding database: String) -> RunID? {
        (try? backups())?.last { entry in
            guard let manifest = entry.manifest, manifest.kind == .logical, entry.failedVerification == nil else {
                return false
            }
            return (try? databases(of: manifest))?.databases.contains { $0.name == database } == true
        }?.id
    }

    private func missing(_ name: String, reason: String?) -> BackupError {
        BackupError(
            .backupMissing,
            "There is no backup '\(name)' of '\(repository.layout.cluster)' in "
                + "'\(repository.storage.location)'.",
            reason: reason, remedy: "See 'apex-backup list'.", unchanged: "Nothing was changed.")
    }

    /// The entry of `id`, or `nil` when nothing is left of it.
    package func entry(_ id: RunID) throws(BackupError) -> CatalogueEntry? {
        let layout = repository.layout
        let children = try repository.storage.children(of: layout.backup(id))
        guard !children.isEmpty else { return nil }
        let (facts, unreadable) = try facts(of: id)
        return CatalogueEntry(id: id, content: try content(of: id), facts: facts, unreadableFact: unreadable)
    }

    private func content(of id: RunID) throws(BackupError) -> CatalogueEntry.Content {
        do {
            switch try document(of: id) {
            case .committed(let manifest): return .committed(manifest)
            case .aborted(let run): return .aborted(run)
            case nil: return .running
            }
        } catch  where error.code == .objectDamaged || error.code == .repositoryNewer {
            return .unreadable(error)
        }
    }

    /// The manifest of `id` as it is stored, checked against its place; `nil` when there is certainly none.
    package func document(of id: RunID) throws(BackupError) -> ManifestDocument? {
        let key = repository.layout.manifest(id)
        guard let bytes = try repository.storage.readAll(key, limit: Repository.largestJSON) else { return nil }
        struct Version: Decodable { var format: Int? }
        let json = try SelfProof.open(bytes, name: key.text)
        let format = try RepositoryJSON.decodePlain(Version.self, from: json, name: key.text).format
        if let format, format > BackupManifest.currentFormat {
            throw Repository.newerFormat(format, what: "The backup \(id)")
        }
        let document = try RepositoryJSON.decodePlain(ManifestDocument.self, from: json, name: key.text)
        if case .committed(let manifest) = document { try check(manifest, against: id, key: key) }
        return document
    }

    private func check(_ manifest: BackupManifest, against id: RunID, key: ObjectKey) throws(BackupError) {
        let problem: String? =
            if manifest.id != id {
                "it is the manifest of \(manifest.id)"
            } else if manifest.cluster != repository.layout.cluster {
                "it is a manifest of the cluster '\(manifest.cluster)'"
            } else if let name = manifest.artefacts.lazy.compactMap(\.foreignName).first {
                "it names '\(name)', which is no file of this backup"
            } else if !manifest.hasPossibleNumbers {
                "its format, versions, sizes or durations cannot be"
            } else {
                nil
            }
        guard let problem else { return }
        throw BackupError(
            .objectDamaged, "The manifest '\(key)' cannot be believed.", reason: problem,
            remedy: "Use another backup ('apex-backup list'), and find out who wrote to the repository.",
            unchanged: "No file outside the repository was read or written.")
    }

    private func facts(of id: RunID) throws(BackupError) -> (facts: [BackupFact], unreadable: BackupError?) {
        let folder = repository.layout.facts(id)
        var facts: [BackupFact] = []
        var unreadable: BackupError?
        for name in try repository.storage.children(of: folder) {
            do {
                if let fact = try repository.get(BackupFact.self, at: folder.appending(name)) { facts.append(fact) }
            } catch  where error.code == .objectDamaged {
                repository.environment.warn(error.message)
                unreadable = unreadable ?? error
            }
        }
        return (facts.sorted { $0.at < $1.at }, unreadable)
    }

    /// The database records of a backup, wherever they are kept, and the artefacts with the dump of each.
    package func databases(of manifest: BackupManifest) throws(BackupError) -> (
        databases: [DatabaseRecord], artefacts: [Artefact]
    ) {
        // A physical backup holds a cluster's files, and knows no databases.
        guard manifest.kind == .logical else { return ([], manifest.artefacts) }
        let (databases, artefacts) = try listedDatabases(of: manifest)
        let names = Set(artefacts.map(\.name))
        let problem: String? =
            if databases.count != manifest.totals.databases {
                "it lists \(databases.count) databases, and says that it holds \(manifest.totals.databases)"
            } else if Set(databases.map(\.name)).count < databases.count || names.count < artefacts.count {
                "it lists a database or a file twice"
            } else if let lost = databases.first(where: { !names.contains($0.artefact) }) {
                "it does not list the dump of '\(lost.name)'"
            } else {
                nil
            }
        guard let problem else { return (databases, artefacts) }
        throw BackupError(
            .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.", reason: problem,
            remedy: "Use another backup.", unchanged: "Nothing was changed.")
    }

    private func listedDatabases(of manifest: BackupManifest) throws(BackupError) -> (
        databases: [DatabaseRecord], artefacts: [Artefact]
    ) {
        if let databases = manifest.databases { return (databases, manifest.artefacts) }
        guard let list = manifest.artefact(.databases) else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.",
                reason: "it has neither its databases nor an object that lists them", remedy: "Use another backup.",
                unchanged: "Nothing was changed.")
        }
        var databases: [DatabaseRecord] = []
        var artefacts = manifest.artefacts
        try StoredArtefact(list, of: manifest.id, in: repository).forEachLine { line throws(BackupError) in
            let entry = try RepositoryJSON.decodePlain(DatabaseLine.self, from: line, name: list.name)
            if !entry.artefact.hasPossibleNumbers || !entry.database.hasPossibleNumbers {
                throw BackupError(
                    .objectDamaged,
                    "The object '\(list.name)' of backup \(manifest.id) names sizes or durations that cannot be.",
                    remedy: "Use another backup.", unchanged: "Nothing was changed.")
            }
            if let name = entry.artefact.foreignName {
                throw BackupError(
                    .objectDamaged, "The object '\(list.name)' of backup \(manifest.id) names '\(name)'.",
                    remedy: "Use another backup.", unchanged: "Nothing was changed.")
            }
            databases.append(entry.database)
            artefacts.append(entry.artefact)
        }
        return (databases, artefacts)
    }
}

/// One line of the artefact with the databases of a backup with very many.
struct DatabaseLine: Sendable, Codable {
    var database: DatabaseRecord
    var artefact: Artefact
}
