package import BackupModel

/// A stage that compresses what it is given and passes the result on to `next`.
package func makeCompressor(
    _ compression: Compression, into next: any ByteSink
) throws(BackupError) -> any ByteSink {
    guard compression.hasKnownLevel else {
        throw BackupError(
            .usage, "There is no compression level '\(compression)'.",
            remedy: "Use gzip:1 to gzip:9, zstd:1 to zstd:19, or none.")
    }
    return switch compression {
    case .none: next
    case .gzip(let level) where level <= 3: FastGzipCompressor(level: level, into: next)
    case .gzip(let level): try GzipCompressor(level: level, into: next)
    case .zstd(let level): try ZstdCompressor(level: level, into: next)
    }
}

/// What stored bytes are read for.
package enum DecompressionPurpose: Sendable, CaseIterable {
    /// To prove them: by another implementation than the one that wrote them, so that the two check each other.
    case proof
    /// To restore them, as fast as can be; the content's digest is compared in any case.
    case restore
}

/// A stage that decompresses what it is given and passes the content on to `next`.
///
/// It throws ``ErrorCode/objectDamaged`` for anything that is not a whole stream of that kind: on `write` for wrong
/// bytes, on `finish` for missing ones. Want of memory is ``ErrorCode/storageFailed``.
package func makeDecompressor(
    _ compression: Compression, for purpose: DecompressionPurpose = .proof, into next: any ByteSink
) throws(BackupError) -> any ByteSink {
    switch compression {
    case .none: next
    case .gzip where purpose == .restore: FastGzipDecompressor(into: next)
    case .gzip: try GzipDecompressor(into: next)
    case .zstd: try ZstdDecompressor(into: next)
    }
}

/// The errors of compressing and decompressing stages.
enum CodecError {
    static func compressing(_ format: String, reason: String) -> BackupError {
        BackupError(
            .storageFailed, "Compressing with \(format) failed.", reason: reason,
            remedy: "Give the process more memory, or choose another compression.")
    }

    static func decompressing(_ format: String, reason: String) -> BackupError {
        BackupError(.objectDamaged, "The \(format) data is damaged.", reason: reason, remedy: remedy)
    }

    /// The host kept the data from being read, which says nothing of the data.
    static func reading(_ format: String, reason: String) -> BackupError {
        BackupError(
            .storageFailed, "The \(format) data could not be read.", reason: reason,
            remedy: "Give the process more memory, and run again.", unchanged: "Nothing was found of the data.")
    }

    static let noMemory = "Cannot allocate memory"

    static func cutOff(_ format: String) -> BackupError {
        BackupError(
            .objectDamaged, "The \(format) data is incomplete.", reason: "it ends before its last checksum",
            remedy: remedy)
    }

    private static let remedy =
        "Run 'apex-backup verify' to see what else is damaged, and use another backup or a copy of the repository."
}
