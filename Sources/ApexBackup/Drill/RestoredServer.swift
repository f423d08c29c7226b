import BackupModel
import PostgresAccess

/// What a drill's checks look at: the restored server, and what the manifest says of the backup it came from.
struct RestoredServer: Sendable {
    let repository: Repository
    let connection: ConnectionSettings
    let manifest: BackupManifest
    let artefacts: [Artefact]
    /// The names of the databases that were restored.
    let databases: [String]
    /// What a manifest of dumps says of them.
    var records: [DatabaseRecord] = []
    /// How the WAL behind a physical backup was replayed.
    var recovery: DrillRecovery?
    let environment: BackupEnvironment

    /// The database a check is asked of: the one it names, else the only one that was restored beside `postgres`.
    func database(for check: DrillCheck) throws(CheckImpossible) -> String {
        let names = databases.map { "'\($0)'" }.joined(separator: ", ")
        if let name = check.database {
            // A policy that leaves it out of the restore is refused when it is read.
            guard databases.contains(name) else {
                throw CheckImpossible(missing: "the backup holds no database '\(name)'; it holds \(names)")
            }
            return name
        }
        let own = databases.filter { $0 != "postgres" }
        if own.count == 1 { return own[0] }
        if databases.count == 1 { return databases[0] }
        throw CheckImpossible("the check names no database, and several were restored: \(names)")
    }

    /// The databases that a check covers when it names none.
    func databases(for check: DrillCheck) throws(CheckImpossible) -> [String] {
        check.database == nil ? databases : [try database(for: check)]
    }

    /// What the manifest says of those databases.
    func records(for check: DrillCheck) throws(CheckImpossible) -> [DatabaseRecord] {
        let names = try databases(for: check)
        return records.filter { names.contains($0.name) }
    }

    /// The URL of the restored server for applications and commands; its socket asks no password.
    func url(database: String) -> String { connection.with(database: database).redacted }

    func withSession<Value: Sendable>(
        _ database: String, _ body: (PostgresSession) async throws -> Value
    ) async throws -> Value {
        try await PostgresSession.with(
            connection.with(database: database), applicationName: "apex-backup drill",
            timeout: DumpSource.connectTimeout, body)
    }

    func tableLines(of database: DatabaseRecord) throws -> [TableLine] {
        guard let artefact = artefacts.first(where: { $0.role == .tables }) else {
            throw CheckImpossible("the backup says of no table how many rows were captured")
        }
        return try StoredArtefact(artefact, of: manifest.id, in: repository).tableLines(of: database.oid)
    }
}

/// Why a check could not be asked, and what follows from that.
struct CheckImpossible: Error {
    let outcome: CheckOutcome

    /// The policy or the host is to blame: nothing is proved, neither way.
    init(_ reason: String) { outcome = .notVerified(reason) }

    /// What it asks of should have been in the backup.
    init(missing reason: String) { outcome = .failed(reason) }
}

/// The answer to a check before it is judged in time.
struct CheckAnswer: Sendable {
    var outcome: CheckOutcome
    var got: CheckValue?
    var evidence: String?

    init(_ outcome: CheckOutcome, got: CheckValue? = nil, evidence: String? = nil) {
        self.outcome = outcome
        self.got = got
        self.evidence = evidence
    }

    /// Passed when there are no `differences`; `got` is their number.
    init(differences: [String], evidence: String) {
        outcome = differences.isEmpty ? .passed : .failed(differences.prefix(10).joined(separator: "; "))
        got = .number(String(differences.count))
        self.evidence = evidence
    }
}
