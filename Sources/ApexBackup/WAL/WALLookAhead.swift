import BackupModel
import BackupStorage
import FoundationEssentials

/// The side of `wal push --async` in archiving ahead: it believes acknowledgements, and keeps a worker going.
///
/// Who pushes a file pushes it itself, while a worker takes those that wait behind it. So a file alone costs what it costs
/// without a worker, and what is wrong with a file is met and told by whoever is asked for it. As the spool, all of this
/// is a hint: an error here means that the file is pushed.
package struct WALLookAhead: Sendable {
    /// What is archived ahead, and by whom.
    package struct Settings: Sendable {
        /// The spool's directory; `nil` is that beside the server's WAL.
        let spool: String?
        /// What starts a worker that archives what waits.
        let worker: WALWorker

        package init(spool: String?, worker: WALWorker) {
            self.spool = spool
            self.worker = worker
        }
    }

    private let settings: Settings
    private let folder: String
    private let archive: WALArchive
    private let spool: WALSpool

    /// `nil` where nothing is archived ahead: only a server that runs makes files that wait.
    init?(_ settings: Settings, beside folder: String, for archive: WALArchive) {
        let dataDirectory = dataDirectory(ofWAL: folder)
        guard isServerRunning(on: dataDirectory),
            let spool = try? WALSpool(
                .push, at: settings.spool ?? "\(folder)/\(WALSpool.standardName)", for: archive,
                dataDirectory: dataDirectory)
        else { return nil }
        self.settings = settings
        self.folder = folder
        self.archive = archive
        self.spool = spool
    }

    /// How long a caller waits for a file that a worker pushes just now, before it pushes it itself.
    private static let patience = Duration.seconds(30)

    /// Starts a worker if there is none and others than `name` wait.
    func goOn(besides name: String) {
        guard (try? spool.hasWorker()) == false else { return }
        let others = WALPushAhead.plan(waitingStatuses(beside: folder), without: [name])
        guard !others.isEmpty, !((try? spool.acknowledged()) ?? []).isSuperset(of: others) else { return }
        try? settings.worker.start()
    }

    /// Takes the exclusive right to push `name`; a worker that is pushing it is waited for.
    func claim(_ name: String) -> WALClaim? { spool.claim(name, waitingUpTo: Self.patience) }

    /// Whether an acknowledgement says that this very file was archived, and the repository has that; it is used up.
    func isArchived(_ file: borrowing LocalWALFile, _ name: WALFileName) -> Bool {
        guard let acknowledgement = try? spool.acknowledgement(of: file.name) else { return false }
        try? spool.forget(file.name)
        guard let identity = try? file.source.identity(), let stored = try? archive.record(of: name) else {
            return false
        }
        return acknowledgement.covers(
            file.name, of: archive.systemIdentifier, file: identity, stored: stored.contentSHA256)
    }
}

/// The names in the server's `archive_status`; none if it cannot be read.
func waitingStatuses(beside folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: statusFolder(beside: folder))) ?? []
}

func statusFolder(beside folder: String) -> String { "\(folder)/archive_status" }

extension WALSpool {
    private static let suffix = ".archived"

    func acknowledge(_ acknowledgement: WALAcknowledgement) throws(BackupError) {
        try directory.replace(
            acknowledgement.name + Self.suffix, with: RepositoryJSON.encodePlain(acknowledgement, pretty: false))
    }

    /// What was acknowledged of `name`, or `nil` if nothing was.
    func acknowledgement(of name: String) throws(BackupError) -> WALAcknowledgement? {
        guard let content = try directory.file(name + Self.suffix)?.read(at: 0, count: 4096) else { return nil }
        return try RepositoryJSON.decodePlain(WALAcknowledgement.self, from: content, name: name + Self.suffix)
    }

    func forget(_ name: String) throws(BackupError) { try directory.remove(name + Self.suffix) }

    /// The names of all files of which something was acknowledged.
    func acknowledged() throws(BackupError) -> Set<String> {
        try Set(directory.names().filter { $0.hasSuffix(Self.suffix) }.map { String($0.dropLast(Self.suffix.count)) })
    }
}
