import BackupModel
import BackupStorage
import PostgresAccess

/// A data directory that is there already, of the cluster that a backup is of, and on which no server runs.
struct ExistingCluster: Sendable {
    let directory: DataDirectory

    /// The name that the control file has until the directory is rewritten: it says whose the directory is.
    static let aside = DataPath("global/pg_control.apex-before")

    private static let control = DataPath("global/pg_control")
    static let untouched = "Nothing in it was touched."

    /// Returns `nil` if there is no directory at `path`, or nothing in it.
    ///
    /// - Throws: ``ErrorCode/wrongCluster`` or ``ErrorCode/targetUnsuitable``, with nothing changed.
    init?(at path: String, of manifest: BackupManifest) throws(BackupError) {
        guard let directory = try DataDirectory(at: path), try !directory.isEmpty else { return nil }
        self.directory = directory
        try requireSame(manifest)
        try requireStopped()
    }

    private func requireSame(_ manifest: BackupManifest) throws(BackupError) {
        // Only the first is there but for a restore that was broken off.
        for path in [Self.control, Self.aside, FileRestore.control] {
            guard let bytes = try directory.content(of: path, limit: ControlFile.size) else { continue }
            guard let control = try? ControlFile(parsing: bytes, named: "\(path)") else { continue }
            guard "\(control.systemIdentifier)" == manifest.systemIdentifier else {
                throw BackupError(
                    .wrongCluster, "'\(directory.path)' holds another cluster than backup \(manifest.id).",
                    reason: "its system identifier is \(control.systemIdentifier), the backup's "
                        + manifest.systemIdentifier,
                    remedy: "Name an empty directory, or that of the same cluster.", unchanged: Self.untouched)
            }
            return try requireVersion(of: manifest, isWhole: path == Self.control)
        }
        throw BackupError(
            .targetUnsuitable, "'\(directory.path)' cannot be rewritten.",
            reason: "it has no readable \(Self.control), which would say what cluster it holds",
            remedy: "Name an empty directory, or the data directory of the backup's cluster.",
            unchanged: Self.untouched)
    }

    private func requireVersion(of manifest: BackupManifest, isWhole: Bool) throws(BackupError) {
        guard isWhole else { return }
        let bytes = try directory.content(of: DataPath("PG_VERSION"), limit: 64) ?? []
        let version = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard version != "\(manifest.server.major)" else { return }
        throw BackupError(
            .targetUnsuitable, "'\(directory.path)' cannot be rewritten.",
            reason: "its PG_VERSION says '\(version)', and the backup is of PostgreSQL \(manifest.server.major)",
            remedy: "Name an empty directory.", unchanged: Self.untouched)
    }

    /// Refuses if the process lives that `postmaster.pid` names.
    private func requireStopped() throws(BackupError) {
        guard let process = try serverMark().first.flatMap({ Int32($0) })?.magnitude, process > 0,
            ProcessHost.exists(Int32(clamping: process))
        else { return }
        throw inUse("its postmaster.pid names the process \(process), which lives")
    }

    /// Refuses if a server answers where `postmaster.pid` says: it may be one of another container.
    func requireSilence() async throws {
        let mark = try serverMark()
        guard mark.count > 4, let port = UInt16(mark[3]), mark[4].hasPrefix("/") else { return }
        let place = try ConnectionSettings(
            parsing: "host=\(quoteConninfoValue(mark[4])) port=\(port) user=postgres dbname=postgres")
        do {
            try await PostgresSession.connect(place, applicationName: "apex-backup", timeout: .seconds(5)).close()
        } catch let error as BackupError {
            // Only this is certain: one that hangs, or whose socket may not be opened, may be at work.
            let isSilent = ["No such file or directory", "Connection refused"].contains {
                error.reason?.contains($0) == true
            }
            if error.code == .serverUnreachable, isSilent { return }
            if error.code == .interrupted { throw error }
        }
        throw inUse("a server answers, or may be, at port \(port) in '\(mark[4])', where its postmaster.pid says")
    }

    /// The lines of `postmaster.pid`: the process, the directory, when it was started, the port, where its socket is.
    private func serverMark() throws(BackupError) -> [String] {
        let bytes = try directory.content(of: DataPath("postmaster.pid"), limit: 4096) ?? []
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.filter { $0 != " " }
        }
    }

    private func inUse(_ reason: String) -> BackupError {
        BackupError(
            .targetUnsuitable, "A server runs on '\(directory.path)'.", reason: reason,
            remedy: "Stop it: pg_ctl -D '\(directory.path)' stop. If that is no server of this directory, remove its "
                + "postmaster.pid.",
            unchanged: Self.untouched)
    }

    /// Takes the control file away, durably: from here on no server starts.
    func setControlAside() throws(BackupError) {
        guard try directory.rename(Self.control, to: "pg_control.apex-before") else { return }
        // Whoever started a server meanwhile had to read it, and left its mark before.
        do { try requireStopped() } catch {
            try directory.rename(Self.aside, to: "pg_control")
            throw error
        }
    }
}
