import BackupModel
import BackupStorage

/// Where files of WAL were put that the archive lacks.
package struct KeptWAL: Sendable, Codable, Hashable {
    package var directory: String
    package var files: Int
    /// The names of the first and the last one.
    package var first: String
    package var last: String

    /// What an operator is told of them.
    package var text: String {
        "\(files) files of WAL that the archive lacks, \(first) to \(last), are kept in '\(directory)': what was committed "
            + "in them is not restored. 'apex-backup wal push' archives them."
    }
}

/// The files in `pg_wal` of a data directory that the archive does not have, or not with the same content: they may be
/// the only copy of what was committed last.
struct UnarchivedWAL: Sendable {
    /// Sorted by their names.
    let names: [WALFileName]

    /// Where they are kept: servers take no notice of other names there, no base backup has it, and no other file system
    /// lies between.
    static let folder = DataPath("pg_wal/apex-backup-unarchived")

    private static let wal = "pg_wal"

    /// Looks through the directory; nothing is changed.
    ///
    /// What a server has set aside to write into is none of them.
    init(in directory: DataDirectory, segmentSize: WALSegmentSize, archive: WALArchive) throws(BackupError) {
        var found: [String] = []
        _ = try directory.sweep(removes: false) { entry in
            guard let path = entry.path else { return .stays }
            let components = path.components.map { String(decoding: $0, as: UTF8.self) }
            guard components.first == Self.wal else { return .stays }
            if entry.kind == .directory { return components.count == 1 ? .isEntered : .stays }
            if entry.kind == .file, let name = components.last { found.append(name) }
            return .stays
        }
        var names: [WALFileName] = []
        for text in found.sorted() {
            guard let name = WALFileName(parsing: text, segmentSize: segmentSize) else { continue }
            switch name {
            case .segment(let segment), .partial(let segment):
                guard try Self.isWritten(segment, DataPath("\(Self.wal)/\(text)"), directory, archive) else { continue }
            case .history, .backup: break
            case .other: continue
            }
            if try !Self.isStored(name, "\(directory.path)/\(Self.wal)/\(text)", archive) { names.append(name) }
        }
        self.names = names
    }

    /// Whether the file begins as its name says, and so was written to.
    private static func isWritten(
        _ segment: WALSegmentName, _ path: DataPath, _ directory: DataDirectory, _ archive: WALArchive
    ) throws(BackupError) -> Bool {
        let start = try directory.content(of: path, limit: WALPageHeader.longestSize) ?? []
        guard let header = WALSegmentHeader(parsing: start.span) else { return false }
        return header.page.address == segment.start && header.systemIdentifier == archive.systemIdentifier
    }

    private static func isStored(
        _ name: WALFileName, _ path: String, _ archive: WALArchive
    ) throws(BackupError) -> Bool {
        let stored: WALObjectRecord?
        do throws(BackupError) { stored = try archive.record(of: name) } catch  where error.code.isDamage {
            return false
        }
        guard let record = stored else { return false }
        let digest = DigestSink()
        try OpenFile(reading: path).forEachChunk(ofSize: 1 << 20) { bytes throws(BackupError) in
            try digest.write(bytes)
        }
        try digest.finish()
        return digest.byteCount == record.contentBytes && digest.digest == record.contentSHA256
    }

    /// Moves them, durably, into a folder of the run's own; `nil` if there are none.
    func keep(in directory: DataDirectory, for run: RunID) throws(BackupError) -> KeptWAL? {
        guard let first = names.first, let last = names.last,
            let folder = Self.folder.appending(DataPath(run.text.lowercased()))
        else { return nil }
        try directory.makeDirectory(folder)
        for name in names {
            guard let place = folder.appending(DataPath("\(name)")) else { continue }
            try directory.move(DataPath("\(Self.wal)/\(name)"), to: place)
        }
        return KeptWAL(
            directory: "\(directory.path)/\(folder)", files: names.count, first: "\(first)", last: "\(last)")
    }
}
