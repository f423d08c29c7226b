package import BackupModel
package import BackupStorage

/// An opened repository, as one cluster sees it.
package struct Repository: Sendable {
    package let storage: any Storage
    package let layout: RepositoryLayout
    package let marker: RepositoryMarker
    package let environment: BackupEnvironment

    /// The most bytes that a JSON object of a repository may have: manifests have at most 64 KiB.
    package static let largestJSON = 1 << 20

    /// Opens what is there: checks the marker and its version.
    package static func open(
        _ storage: any Storage, layout: RepositoryLayout, environment: BackupEnvironment
    ) throws(BackupError) -> Repository {
        guard let bytes = try storage.readAll(RepositoryLayout.repository, limit: largestJSON) else {
            throw BackupError(
                .repositoryMissing, "'\(storage.location)' is not a repository: it has no repository.json.",
                remedy: "Check the address, and that the volume is mounted. A new repository is made by "
                    + "'apex-backup init'.",
                unchanged: "Nothing was changed.")
        }
        try checkFormat(of: bytes, in: storage)
        let marker = try RepositoryJSON.decode(
            RepositoryMarker.self, from: bytes, name: RepositoryLayout.repository.text)
        return Repository(
            storage: storage.using(marker.store), layout: layout, marker: marker, environment: environment)
    }

    /// A newer format is refused before anything else of the object is believed.
    private static func checkFormat(of bytes: [UInt8], in storage: any Storage) throws(BackupError) {
        struct Version: Decodable { var format: Int }
        let json = try SelfProof.open(bytes, name: RepositoryLayout.repository.text)
        let version = try RepositoryJSON.decodePlain(Version.self, from: json, name: RepositoryLayout.repository.text)
        guard version.format <= BackupManifest.currentFormat else {
            throw newerFormat(version.format, what: "The repository '\(storage.location)'")
        }
    }

    static func newerFormat(_ format: Int, what: String) -> BackupError {
        BackupError(
            .repositoryNewer,
            "\(what) has format \(format); this apex-backup \(ToolVersion.text) reads up to "
                + "\(BackupManifest.currentFormat).",
            remedy: "Use a newer apex-backup.", unchanged: "Nothing was changed.")
    }

    /// Makes the repository if there is none, and registers the cluster's name; repeated, it changes nothing.
    package static func create(
        _ storage: any Storage, layout: RepositoryLayout, environment: BackupEnvironment
    ) throws(BackupError) -> (repository: Repository, isNew: Bool) {
        var isNew = false
        if try storage.readAll(RepositoryLayout.repository, limit: largestJSON) == nil {
            let strangers = try storage.children(of: nil)
            guard strangers.isEmpty else {
                throw BackupError(
                    .repositoryMissing,
                    "'\(storage.location)' is not empty and is not a repository: it holds '\(strangers[0])'.",
                    remedy: "Name an empty or new place.", unchanged: "Nothing was written.")
            }
            let now = environment.clocks.wall()
            let id = (0..<8).map { _ in RunID(at: now, chance: environment.chance()).text.suffix(4) }.joined()
            let marker = RepositoryMarker(
                format: BackupManifest.currentFormat, id: id, createdAt: now, toolVersion: environment.toolVersion,
                store: try storage.findAbilities())
            isNew =
                try storage.using(marker.store).putIfAbsent(
                    RepositoryLayout.repository, try RepositoryJSON.encode(marker)) == .stored
        }
        let repository = try open(storage, layout: layout, environment: environment)
        _ = try repository.put(
            ClusterRegistration(name: layout.cluster, registeredAt: environment.clocks.wall()),
            at: layout.registration)
        return (repository, isNew)
    }

    /// The promises of a storage that this one does not keep, in words; what is tried is removed again.
    ///
    /// - Throws: what keeps one from writing there at all.
    func storageViolations() throws(BackupError) -> [String] {
        try removeOldChecks()
        let folder = Self.checks.appending(environment.makeRunID().text)
        let first = folder.appending("first")
        _ = try storage.putIfAbsent(first, [])
        try storage.remove(first)
        return storageContractViolations(storage, under: folder)
    }

    private static let checks = ObjectKey("check")

    /// Removes what somebody has left who was killed while trying: another one may be trying now.
    private func removeOldChecks() throws(BackupError) {
        let yesterday = RunID(at: environment.clocks.wall().advanced(by: .seconds(-86400)), chance: 0)
        for name in try storage.children(of: Self.checks) {
            guard let id = RunID(parsing: name), id < yesterday else { continue }
            let folder = Self.checks.appending(name)
            var left: [ObjectKey] = []
            try storage.list(under: folder) { left.append($0.key) }
            try storage.remove(left)
            try storage.removeTemporaryFiles(storage.temporaryFiles(under: folder))
        }
    }

    /// Refuses a cluster name that `init` has not registered.
    package func requireRegistration() throws(BackupError) {
        guard try get(ClusterRegistration.self, at: layout.registration) == nil else { return }
        let known = try storage.children(of: RepositoryLayout.clusters)
        throw BackupError(
            .clusterNotRegistered, "The cluster '\(layout.cluster)' is not registered in '\(storage.location)'.",
            reason: known.isEmpty ? "no cluster is" : "registered are: \(known.joined(separator: ", "))",
            remedy: "Name a registered one with --cluster, or register this one with 'apex-backup init'.",
            unchanged: "Nothing was changed.")
    }

    /// The system identifiers that the cluster's name has had.
    package func incarnations() throws(BackupError) -> [ClusterIncarnation] {
        var found: [ClusterIncarnation] = []
        for name in try storage.children(of: layout.incarnations) where name.hasSuffix(".json") {
            if let record = try get(ClusterIncarnation.self, at: layout.incarnations.appending(name)) {
                found.append(record)
            }
        }
        return found.sorted { $0.firstSeen < $1.firstSeen }
    }

    /// Refuses a server that is not the one registered under the cluster's name.
    package func requireIncarnation(_ systemIdentifier: String) throws(BackupError) {
        // Asked for each file of WAL: the one that is right is read, and all of them only to name them.
        if let key = layout.incarnation(systemIdentifier),
            try get(ClusterIncarnation.self, at: key)?.systemIdentifier == systemIdentifier
        {
            return
        }
        let known = try incarnations()
        throw BackupError(
            .wrongCluster,
            "The server has the system identifier \(systemIdentifier), which is not registered for the cluster "
                + "'\(layout.cluster)'.",
            reason: known.isEmpty
                ? "no server was registered yet"
                : "registered: \(known.map(\.systemIdentifier).joined(separator: ", "))",
            remedy: "If this is the right server (after initdb or pg_upgrade), record it with "
                + "'apex-backup init --new-cluster-incarnation'; otherwise check the connection or name another cluster "
                + "with --cluster.")
    }

    /// Records a system identifier; the same again changes nothing.
    package func recordIncarnation(_ incarnation: ClusterIncarnation) throws(BackupError) {
        guard let key = layout.incarnation(incarnation.systemIdentifier) else { return }
        _ = try put(incarnation, at: key)
    }

    /// The JSON object at `key`, or `nil` when there is certainly none.
    package func get<Value: Decodable>(_ type: Value.Type, at key: ObjectKey) throws(BackupError) -> Value? {
        guard let bytes = try storage.readAll(key, limit: Self.largestJSON) else { return nil }
        return try RepositoryJSON.decode(type, from: bytes, name: key.text)
    }

    /// Puts a JSON object under a name that nothing has yet; tells whether it was this one that got it.
    package func put(_ value: some Encodable, at key: ObjectKey) throws(BackupError) -> PutOutcome {
        let bytes = try RepositoryJSON.encode(value)
        guard bytes.count <= Self.largestJSON else {
            throw BackupError(
                .storageFailed, "The object '\(key)' would have \(formatBytes(Int64(bytes.count))).",
                reason: "no object of this kind above \(formatBytes(Int64(Self.largestJSON))) can be read back",
                remedy: "Report this: such an object is not expected.", unchanged: "It was not written.")
        }
        return try storage.putIfAbsent(key, bytes)
    }

    /// Records a fact about a backup, as the last one: also when this host's clock is behind that of the one before.
    ///
    /// Returns it as it is stored. Of what is no backup any more nothing is recorded but that it is being removed.
    @discardableResult
    package func record(_ fact: BackupFact, of id: RunID) throws(BackupError) -> BackupFact {
        let entry = try Catalogue(self).entry(id)
        let isThere =
            switch entry?.content {
            case .committed, .unreadable: entry?.isTombstoned == false
            case .running, .aborted, nil: false
            }
        guard fact.kind == .tombstone || isThere else {
            throw BackupError(
                .backupMissing, "There is no backup '\(id)' any more.",
                reason: entry?.isTombstoned == true ? "'apex-backup prune' is removing it" : nil,
                remedy: "See 'apex-backup list'.", unchanged: "Nothing was recorded.")
        }
        var fact = fact
        if let last = entry?.facts.last?.at, fact.at <= last { fact.at = last.advanced(by: .microseconds(1)) }
        while try put(fact, at: layout.fact(id, fact, chance: environment.chance())) == .present {}
        return fact
    }
}
