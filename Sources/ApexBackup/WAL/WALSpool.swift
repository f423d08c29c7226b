import BackupModel
import BackupStorage
import FoundationEssentials

/// What the processes of one server leave each other beside its WAL: segments read ahead, or acknowledgements.
///
/// It is a hint throughout. Whatever of it is lost, stale, damaged, somebody else's or cannot be had costs time only:
/// without it a file is brought or archived as if there were no spool.
struct WALSpool: Sendable {
    enum Purpose: String {
        case get, push
    }

    /// Where it is in the directory of a server's WAL: on the same file system, and in no base backup.
    static let standardName = ".apex-backup"

    let directory: SpoolDirectory
    private let purpose: Purpose

    /// Opens the spool at `path`, and makes it if it is not there.
    ///
    /// What another repository, cluster or server left there, or this one before the host was started anew, is never
    /// looked at: it is in a folder of another name.
    init(
        _ purpose: Purpose, at path: String, for archive: WALArchive, dataDirectory: String
    ) throws(BackupError) {
        guard let place = try identity(ofDirectory: dataDirectory) else {
            throw BackupError(
                .targetUnsuitable, "There is no data directory '\(dataDirectory)'.", remedy: "Name one that is there.")
        }
        let repository = archive.repository
        let owner = [
            repository.marker.id, repository.layout.cluster, "\(archive.systemIdentifier)", HostFacts.boot,
            "\(place.device)", "\(place.number)",
        ]
        let digest = SHA256.digest(of: Array(owner.joined(separator: "\n").utf8).span)
        directory = try SpoolDirectory("\(purpose.rawValue)-\(digest.description.prefix(16))", ofSpool: path)
        self.purpose = purpose
    }

    private static let claimsFile = "claims"
    private static let workerFile = "worker"

    /// What shows that a worker lives, as long as it is kept; `nil` if another worker has it.
    func becomeWorker() throws(BackupError) -> NumberLocks? {
        let life = try directory.locks(Self.workerFile)
        return try life.take(0) ? life : nil
    }

    /// Whether a worker lives, or that cannot be told.
    ///
    /// Its place is not taken to find out: one may just be beginning.
    func hasWorker() throws(BackupError) -> Bool { try directory.locks(Self.workerFile).isTaken(0) ?? true }

    /// Removes what other repositories, clusters or earlier recoveries left, as far as no worker of theirs lives.
    func removeAbandoned() throws(BackupError) {
        for other in try directory.siblings("\(purpose.rawValue)-") {
            let life = try other.locks(Self.workerFile)
            if try life.take(0) { try other.removeAll() }
        }
    }

    /// Takes the exclusive right to work on `name`, waiting for whoever has it: the system tells when it is free, also by
    /// the end of a process that was killed.
    ///
    /// Nothing is wrong if the wait was in vain, but the same is done twice.
    func claim(_ name: String, waitingUpTo patience: Duration) -> WALClaim? {
        let number = WALPushAhead.lockNumber(of: name)
        guard let locks = try? directory.locks(Self.claimsFile),
            (try? locks.take(number, waitingUpTo: patience)) == true
        else { return nil }
        return WALClaim(locks: locks, number: number)
    }

    /// The same, if nobody has it.
    func claimIfFree(_ name: String) throws(BackupError) -> WALClaim? {
        let locks = try directory.locks(Self.claimsFile)
        let number = WALPushAhead.lockNumber(of: name)
        return try locks.take(number) ? WALClaim(locks: locks, number: number) : nil
    }
}

/// The exclusive right to work on a file, until this is gone.
struct WALClaim: Sendable {
    private let locks: NumberLocks
    private let number: Int64

    fileprivate init(locks: NumberLocks, number: Int64) {
        self.locks = locks
        self.number = number
    }

    func giveBack() { locks.giveBack(number) }
}

/// A worker that lives on its own beside a server, and how it is started.
package struct WALWorker: Sendable {
    /// The arguments of this program.
    let arguments: [String]
    let environment: [String: String]

    package init(arguments: [String], environment: [String: String]) {
        self.arguments = arguments
        self.environment = environment
    }

    func start() throws(BackupError) {
        try startDetached(try ownExecutable(), arguments, environment: environment)
    }
}

/// Whether the data directory at `path` is that of a recovery, which takes its WAL from the archive.
func isRecovery(_ path: String) -> Bool {
    HostFacts.exists("\(path)/recovery.signal") || HostFacts.exists("\(path)/standby.signal")
}

/// Whether a server runs on the data directory at `path`: a worker that lives beside it ends with it.
func isServerRunning(on path: String) -> Bool {
    guard let file = try? String(contentsOfFile: "\(path)/postmaster.pid", encoding: .utf8),
        let line = file.split(separator: "\n").first, let process = Int32(line), process > 0
    else { return false }
    return HostFacts.exists("/proc/\(process)")
}
