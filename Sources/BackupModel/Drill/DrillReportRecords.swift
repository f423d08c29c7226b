extension DrillReport {
    /// The backup that was restored.
    package struct BackupRecord: Sendable, Hashable, Codable {
        /// One artefact that was read.
        package struct ArtefactRecord: Sendable, Hashable, Codable {
            package var name: String
            /// SHA-256 of the content.
            package var sha256: String
            /// Bytes of content.
            package var bytes: Int64
            package var storedBytes: Int64

            private enum CodingKeys: String, CodingKey {
                case name, sha256, bytes
                case storedBytes = "stored_bytes"
            }

            package init(name: String, sha256: String, bytes: Int64, storedBytes: Int64) {
                self.name = name
                self.sha256 = sha256
                self.bytes = bytes
                self.storedBytes = storedBytes
            }
        }

        package var id: RunID
        package var kind: String
        /// The moment to which a restore of the whole backup leads back.
        package var recoveryPoint: Timestamp
        /// How it was chosen: `latest`, `oldest`, `id`.
        package var selection: String
        /// How far it was proved before this drill.
        package var state: String?
        package var databases: [String]
        package var contentBytes: Int64
        package var storedBytes: Int64
        package var artefacts: [ArtefactRecord]

        private enum CodingKeys: String, CodingKey {
            case id, kind
            case recoveryPoint = "recovery_point"
            case selection, state, databases
            case contentBytes = "content_bytes"
            case storedBytes = "stored_bytes"
            case artefacts
        }

        package init(id: RunID, kind: String, recoveryPoint: Timestamp, selection: String) {
            self.id = id
            self.kind = kind
            self.recoveryPoint = recoveryPoint
            self.selection = selection
            databases = []
            contentBytes = 0
            storedBytes = 0
            artefacts = []
        }
    }

    /// The server that was restored to.
    package struct TargetRecord: Sendable, Hashable, Codable {
        package var type: String
        package var systemIdentifier: String?
        package var serverVersion: String?
        /// What separates it from everything else, as the server itself says.
        package var isolation: [String]
        /// Settings from the policy.
        package var overrides: [String: String]

        private enum CodingKeys: String, CodingKey {
            case type
            case systemIdentifier = "system_identifier"
            case serverVersion = "server_version"
            case isolation, overrides
        }

        package init(
            systemIdentifier: String?, serverVersion: String?, isolation: [String], overrides: [String: String]
        ) {
            type = "local_instance"
            self.systemIdentifier = systemIdentifier
            self.serverVersion = serverVersion
            self.isolation = isolation
            self.overrides = overrides
        }
    }

    /// Whether the target is gone.
    package struct CleanupRecord: Sendable, Hashable, Codable {
        package var isDone: Bool
        /// What was seen to be gone, or what is still there.
        package var proof: [String]

        private enum CodingKeys: String, CodingKey {
            case isDone = "done"
            case proof
        }

        package init(isDone: Bool, proof: [String]) {
            self.isDone = isDone
            self.proof = proof
        }
    }

    /// Where the drill ran.
    package struct EnvironmentRecord: Sendable, Hashable, Codable {
        package var host: String?
        package var operatingSystem: String?
        package var cpuCount: Int?
        package var memoryBytes: Int64?
        /// Versions of the programs that took part, by name.
        package var versions: [String: String] = [:]

        private enum CodingKeys: String, CodingKey {
            case host
            case operatingSystem = "os"
            case cpuCount = "cpu_count"
            case memoryBytes = "memory_bytes"
            case versions
        }

        package init() {}
    }

    /// What ties the report to the drills before it; null says that there is nothing in this place.
    package struct ChainRecord: Sendable, Hashable, Codable {
        /// `sha256:` and the digest of the newest ledger entry before this drill; `nil` for the first.
        package var previous: String?
        /// `sha256:` and the digest of the journal's last line; `nil` while drills keep no journal.
        package var journalHead: String?
        package var signatures: [String] = []

        private enum CodingKeys: String, CodingKey {
            case previous = "prev"
            case journalHead = "journal_head"
            case signatures
        }

        /// The place after the ledger entry with the digest `previous`.
        package init(previousDigest: String? = nil) { previous = previousDigest.map { "sha256:\($0)" } }

        /// Writes every field, those without a value as null.
        package func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(previous, forKey: .previous)
            try object.encode(journalHead, forKey: .journalHead)
            try object.encode(signatures, forKey: .signatures)
        }
    }
}

extension DrillPolicy {
    /// What the numbers of a drill of this policy rest on without being measured.
    package var assumptions: [String] {
        var texts = ["The source is lost at the declared failure; the repository, its host and this host are not."]
        let phases = [("notice the failure", objectives.detect), ("decide to restore", objectives.declare)]
        for (what, duration) in phases where duration > .zero {
            texts.append("It takes \(DurationText.format(duration)) to \(what) (from the policy, not measured).")
        }
        return texts
    }

    /// What a drill of this policy does not prove.
    package var notTested: [String] {
        var texts: [String] = []
        if objectives.detect == .zero { texts.append("The time to notice a failure: nothing is assumed for it.") }
        if objectives.declare == .zero { texts.append("The time to decide to restore: nothing is assumed for it.") }
        if source.kind == .logical {
            texts.append("Recovery to a chosen moment: a logical backup has one recovery point.")
        } else if source.target == .moment(.latest) {
            texts.append("Recovery to a chosen moment: the target was the end of the WAL.")
        } else {
            texts.append("Recovery to the end of the WAL, and so what a loss of the server now would cost.")
        }
        texts.append("Loss of the repository, and restoring on another host.")
        let kinds = Set(checks.map(\.question.kind))
        if kinds.contains(.structure) {
            texts.append(
                "Grants, comments, rules, operators, casts, extended statistics, publications, event triggers and "
                    + "foreign servers: the fingerprint of the schema does not cover them.")
        }
        if kinds.isDisjoint(with: [.http, .command]) {
            texts.append("The application on the restored database: no http or command check.")
        }
        let words: [(DrillCheck.Kind, String)] = [
            (.rows, "Row counts against the manifest"), (.structure, "The schema against the manifest"),
            (.roles, "Roles"), (.extensions, "Extensions"), (.sequences, "Sequences"),
            (.amcheck, "The soundness of indexes"), (.replay, "The end of the replay"),
            (.boundary, "Transactions on both sides of the target"),
        ]
        for (kind, what) in words where kind.backupKinds.contains(source.kind) && !kinds.contains(kind) {
            texts.append("\(what): no \(kind.rawValue) check.")
        }
        if let databases = source.databases {
            texts.append("Databases other than \(databases.joined(separator: ", ")).")
        }
        return texts
    }
}
