import BackupModel
import BackupStorage

/// A frame, and the pieces of files that lie in it: together no more than one frame may have.
struct FramePieces: Sendable {
    /// What a piece is a part of.
    enum Target: Sendable {
        /// A file that has no other piece, and is not open.
        case whole(DataPath, size: Int64, mode: UInt32)
        case part(RestoredFile)
    }

    let frame: FrameReference
    private(set) var pieces: [(target: Target, extent: FileExtent)] = []
    private(set) var bytes: Int64 = 0

    init(frame: FrameReference) { self.frame = frame }

    func canTake(_ extent: FileExtent) -> Bool {
        extent.frame == frame && bytes + extent.length <= Int64(FrameReference.largestContent)
    }

    mutating func append(_ extent: FileExtent, of target: Target) {
        pieces.append((target, extent))
        bytes += extent.length
    }

    /// Whether the pieces are the content of the frame, one after the other.
    var areWhole: Bool {
        var end: Int64 = 0
        for piece in pieces {
            guard piece.extent.contentOffset == end else { return false }
            end += piece.extent.length
        }
        return end == frame.contentLength
    }
}

/// Writes pieces of files, for one thread: all of them, or where files are rewritten those that differ.
final class FilePieceWriter {
    private(set) var tally = FileRestore.Tally()
    private let reader: FrameReader
    private let files: RestoredTreeFiles
    /// What files have now, where they are rewritten.
    private let existing: ChunkBuffer?

    init(reader: FrameReader, files: RestoredTreeFiles, isRewriting: Bool) {
        self.reader = reader
        self.files = files
        existing = isRewriting ? ChunkBuffer(capacity: FrameReference.largestContent) : nil
    }

    func write(_ frame: FramePieces) throws(BackupError) {
        guard let existing else {
            return try reader.read(frame.frame) { content throws(BackupError) in
                for piece in frame.pieces {
                    let bytes = content.extracting(piece.extent.range)
                    try open(piece.target).write(bytes, at: piece.extent.fileOffset)
                }
                tally.written += frame.bytes
            }
        }
        try readExisting(frame, into: existing)
        try existing.withBytes { old throws(BackupError) in
            // What has the digest of the frame need not be read from the repository.
            if frame.areWhole, SHA256.digest(of: old) == frame.frame.sha256 {
                tally.kept += frame.bytes
            } else {
                try reader.read(frame.frame) { content throws(BackupError) in
                    try rewrite(frame, from: content, over: old)
                }
            }
        }
    }

    private func open(_ target: FramePieces.Target) throws(BackupError) -> RestoredFile {
        switch target {
        case .part(let file): return file
        case .whole(let path, let size, let mode):
            let file = try files.open(path, mode: mode)
            if existing != nil, try file.size() != size { try file.setSize(size) }
            return file
        }
    }

    /// Reads what the files have where the pieces belong, zeros where they are longer now.
    private func readExisting(_ frame: FramePieces, into buffer: ChunkBuffer) throws(BackupError) {
        buffer.removeAll()
        for piece in frame.pieces {
            try open(piece.target).read(at: piece.extent.fileOffset, count: Int(piece.extent.length), into: buffer)
        }
        guard buffer.count == Int(frame.bytes) else {
            throw BackupError(
                .restoreFailed, "A file became shorter while it was compared with the backup.",
                remedy: "Find out who changes the target, and restore again.")
        }
    }

    private func rewrite(
        _ frame: FramePieces, from content: Span<UInt8>, over old: Span<UInt8>
    ) throws(BackupError) {
        var start = 0
        for piece in frame.pieces {
            let end = start + Int(piece.extent.length)
            try rewrite(piece.target, content.extracting(piece.extent.range), old.extracting(start..<end), piece.extent)
            start = end
        }
    }

    /// Writes the blocks of a piece that differ; PostgreSQL changes files by blocks of this size.
    private func rewrite(
        _ target: FramePieces.Target, _ new: Span<UInt8>, _ old: Span<UInt8>, _ extent: FileExtent
    ) throws(BackupError) {
        var file: RestoredFile?
        var offset = 0
        while offset < new.count {
            var end = offset
            while end < new.count, !Self.isSame(new, old, at: end) { end = min(end + Self.block, new.count) }
            if end > offset {
                let opened = if let file { file } else { try open(target) }
                file = opened
                try opened.write(new.extracting(offset..<end), at: extent.fileOffset + Int64(offset))
                tally.written += Int64(end - offset)
            }
            offset = end
            while offset < new.count, Self.isSame(new, old, at: offset) {
                let next = min(offset + Self.block, new.count)
                tally.kept += Int64(next - offset)
                offset = next
            }
        }
    }

    private static let block = 8192

    private static func isSame(_ new: Span<UInt8>, _ old: Span<UInt8>, at offset: Int) -> Bool {
        let range = offset..<min(offset + block, new.count)
        return new.extracting(range).isEqual(to: old.extracting(range))
    }
}

extension FileExtent {
    /// Where it is in the content of its frame.
    fileprivate var range: Range<Int> { Int(contentOffset)..<Int(contentOffset + length) }
}
