package import BackupModel
package import BackupStorage
import FoundationEssentials

/// Where a repository is, as its address says.
package enum RepositoryAddress: Sendable, Hashable {
    /// A directory, by its path.
    case directory(String)
    /// A bucket of an object store, or a folder in it.
    case bucket(S3Location)

    /// Reads `file:///PATH`, an absolute path, or `s3://BUCKET/PREFIX`.
    package init(parsing address: String) throws(BackupError) {
        if address.hasPrefix("file://") {
            guard address.hasPrefix("file:///"), !address.contains(/[?#]|%(?![0-9A-Fa-f]{2})/),
                let path = URL(string: address)?.path(percentEncoded: false), path.hasPrefix("/"),
                !path.utf8.contains(0)
            else {
                throw BackupError(
                    .settings, "The repository address '\(address)' names no absolute path.",
                    reason: "it is file:/// and a path; in that, '#', '?' and '%' are written as %23, %3F and %25",
                    remedy: "Write file:/// and the path: file:///var/lib/apex-backup.")
            }
            self = .directory(path)
        } else if address.hasPrefix("/") {
            self = .directory(address)
        } else if address.hasPrefix("s3://") {
            guard let location = S3Location(parsing: address) else {
                // It is not repeated: somebody may have written keys into it.
                throw BackupError(
                    .settings, "The repository's address begins with s3:// and names no bucket and prefix.",
                    reason: "it is s3://, a bucket, and perhaps a prefix without '?', '#', '%' and empty parts",
                    remedy: "Write for example s3://backups/apex.")
            }
            self = .bucket(location)
        } else {
            // What may have a password in it is not repeated.
            throw BackupError(
                .settings,
                "\(address.contains("@") ? "What is named" : "'\(address)'") is not the address of a repository.",
                remedy: "Write file:/// and an absolute path (file:///var/lib/apex-backup), or s3://bucket/prefix.")
        }
    }

    /// Where it is, for people; two addresses of one place have the same.
    package var location: String {
        switch self {
        case .directory(let path): PosixStorage(root: path).location
        case .bucket(let place): place.description
        }
    }

    /// The storage there, of which nothing is asked yet; with `creating`, the directory that it needs is made.
    package func open(
        store: S3StoreSettings = .init(), environment: BackupEnvironment, creating: Bool
    ) throws(BackupError) -> any Storage {
        switch self {
        case .directory(let path):
            let storage = PosixStorage(root: path)
            if creating { try storage.makeRoot() }
            return storage
        case .bucket(let place):
            return try S3Storage(place, settings: store, environment: Self.environment(of: environment))
        }
    }

    /// By what a program without this environment reaches it as this one does; `nil` for a directory.
    func access(store: S3StoreSettings, environment: BackupEnvironment) throws(BackupError) -> StoreAccess? {
        guard case .bucket(let place) = self else { return nil }
        var environment = environment
        // It may be started in another directory.
        for name in StoreAccess.paths {
            guard let path = environment.variables[name], !path.isEmpty else { continue }
            environment.variables[name] = URL(filePath: path).absoluteURL.path
        }
        return try .find(to: place.bucket, settings: store, in: Self.environment(of: environment))
    }

    private static func environment(of environment: BackupEnvironment) -> S3Environment {
        S3Environment(
            variables: environment.variables, wall: environment.clocks.wall,
            monotonic: environment.clocks.monotonic, readFile: content,
            isEnding: { [isEnding = environment.isEnding] in isEnding() || Task.isCancelled })
    }

    private static func content(of path: String) throws(BackupError) -> [UInt8]? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return try EffectivePolicy.readBytes(path, what: "AWS")
    }
}
