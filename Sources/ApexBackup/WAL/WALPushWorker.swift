package import BackupModel
import BackupStorage

/// Archives what waits in a server's `archive_status` before PostgreSQL asks for it, several files at once.
///
/// A file is acknowledged when it is durable in the repository, and to nobody but the one who pushes that very file. It
/// ends when nothing more waits, with the server, or at the first thing that goes wrong, which `wal push` will meet and
/// tell when it is asked for that file.
package struct WALPushWorker: Sendable {
    /// How many files are archived at once unless another number is asked for.
    package static let standardJobs = 2

    private let push: WALPush
    private let archive: WALArchive
    private let spool: WALSpool
    private let folder: String
    private let systemIdentifier: String?
    private let jobs: Int

    /// Works for the server whose WAL is in `folder`; `nil` if that is no data directory's.
    package init?(
        _ push: WALPush, folder: String, systemIdentifier: String?, spool: String?, jobs: Int
    ) throws(BackupError) {
        let dataDirectory = dataDirectory(ofWAL: folder)
        guard let control = try controlFile(inDataDirectory: dataDirectory) else { return nil }
        archive = try WALArchive(
            push.repository, systemIdentifier: systemIdentifier ?? "\(control.systemIdentifier)")
        self.spool = try WALSpool(
            .push, at: spool ?? "\(folder)/\(WALSpool.standardName)", for: archive, dataDirectory: dataDirectory)
        self.push = push
        self.folder = folder
        self.systemIdentifier = systemIdentifier
        self.jobs = jobs
    }

    /// Archives until nothing waits; returns at once if another worker does.
    package func run() async throws {
        guard let life = try spool.becomeWorker() else { return }
        defer { withExtendedLifetime(life) {} }
        try spool.directory.removeUnfinished { _ in true }
        try spool.removeAbandoned()
        let left = try spool.acknowledged()
        let obsolete = WALPushAhead.obsolete(left, statuses: waitingStatuses(beside: folder))
        for name in obsolete { try spool.forget(name) }
        var tried = left.subtracting(obsolete)
        while isServing {
            let batch = WALPushAhead.plan(waitingStatuses(beside: folder), without: tried)
            guard !batch.isEmpty else { return }
            try await archive(batch)
            tried.formUnion(batch)
        }
    }

    private var isServing: Bool { isServerRunning(on: dataDirectory(ofWAL: folder)) }

    private func archive(_ names: [String]) async throws {
        try await withThrowingTaskGroup { group in
            for job in 0..<jobs {
                let share = stride(from: job, to: names.count, by: jobs).map { names[$0] }
                group.addTask {
                    for name in share where isServing {
                        try Task.checkCancellation()
                        try archive(name)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func archive(_ name: String) throws(BackupError) {
        guard let claim = try spool.claimIfFree(name) else { return }
        defer { claim.giveBack() }
        // It may have been pushed since it was found waiting.
        guard HostFacts.exists("\(statusFolder(beside: folder))/\(WALPushAhead.statusFile(of: name))") else { return }
        let path = "\(folder)/\(name)"
        let before = try OpenFile(reading: path).identity()
        let stored = try push.store(path, of: systemIdentifier)
        // What was read is the file that was looked at, if that is there unchanged.
        guard let digest = stored.contentSHA256, try OpenFile(reading: path).identity() == before else { return }
        try spool.acknowledge(
            WALAcknowledgement(
                name: name, systemIdentifier: archive.systemIdentifier, file: before, contentSHA256: digest))
    }
}
