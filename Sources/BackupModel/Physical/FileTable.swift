/// Where a piece of a file's content is stored.
package struct FileExtent: Sendable, Hashable {
    /// The frame that holds it.
    package var frame: FrameReference
    /// Where the piece begins in the frame's content.
    package var contentOffset: Int64
    /// Where it belongs in the file.
    package var fileOffset: Int64
    /// Its length in bytes.
    package var length: Int64

    package init(frame: FrameReference, contentOffset: Int64, fileOffset: Int64, length: Int64) {
        self.frame = frame
        self.contentOffset = contentOffset
        self.fileOffset = fileOffset
        self.length = length
    }
}

/// A frame in a pack, and what proves its content.
package struct FrameReference: Sendable, Hashable {
    package var pack: PackName
    /// Where it begins in the pack.
    package var offset: Int64
    /// Its stored bytes.
    package var storedLength: Int64
    /// The bytes of its content.
    package var contentLength: Int64
    /// SHA-256 of its content.
    package var sha256: SHA256Digest

    package init(
        pack: PackName, offset: Int64, storedLength: Int64, contentLength: Int64, sha256: SHA256Digest
    ) {
        self.pack = pack
        self.offset = offset
        self.storedLength = storedLength
        self.contentLength = contentLength
        self.sha256 = sha256
    }

    /// The most content that a frame has.
    package static let largestContent = 4 << 20
}

/// The name of a pack: the backup that made it, and which of its packs it is, `20261121T020000Z-7f3a/0-12`.
package struct PackName: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let backup: RunID
    package let worker: Int
    package let number: Int

    package init(backup: RunID, worker: Int, number: Int) {
        self.backup = backup
        self.worker = worker
        self.number = number
    }

    /// Returns `nil` unless `text` is a pack's name in its one spelling.
    package init?(parsing text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let backup = RunID(parsing: String(parts[0])) else { return nil }
        let numbers = parts[1].split(separator: "-", omittingEmptySubsequences: false).compactMap { Int($0) }
        guard numbers.count == 2, numbers.allSatisfy({ (0..<1 << 30).contains($0) }) else { return nil }
        self.init(backup: backup, worker: numbers[0], number: numbers[1])
        guard description == text else { return nil }
    }

    /// Its name below the backup's folder of packs.
    package var file: String { "\(worker)-\(number)" }

    package var description: String { "\(backup)/\(file)" }

    package static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.backup, lhs.worker, lhs.number) < (rhs.backup, rhs.worker, rhs.number)
    }
}

/// One line of a physical backup's file table: a file or directory, or a part of a file with very many extents.
///
/// What no extent covers of a file is zeros. The lines of one file need not follow each other.
package struct FileTableLine: Sendable, Hashable {
    package var path: DataPath
    package var isDirectory: Bool
    /// The bytes of the whole file.
    package var size: Int64
    /// The permission bits, as in the source.
    package var mode: UInt32
    package var extents: [FileExtent]

    package init(path: DataPath, isDirectory: Bool, size: Int64, mode: UInt32, extents: [FileExtent]) {
        self.path = path
        self.isDirectory = isDirectory
        self.size = size
        self.mode = mode
        self.extents = extents
    }

    /// The most extents that a line has.
    package static let mostExtents = 4096
}

extension FileTableLine: Codable {
    private enum CodingKeys: String, CodingKey {
        case path = "p"
        case mode = "m"
        case size = "s"
        case extents = "x"
    }

    /// Reads a line, and refuses one whose numbers cannot be.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        path = try container.decode(DataPath.self, forKey: .path)
        guard let mode = UInt32(try container.decode(String.self, forKey: .mode), radix: 8), mode <= 0o7777 else {
            throw DecodingError.dataCorruptedError(forKey: .mode, in: container, debugDescription: "not a file's mode")
        }
        self.mode = mode
        let size = try container.decodeIfPresent(Int64.self, forKey: .size)
        isDirectory = size == nil
        self.size = size ?? 0
        extents = try container.decodeIfPresent([FileExtent].self, forKey: .extents) ?? []
        let isPossible =
            (0..<1 << 50).contains(self.size) && extents.count <= Self.mostExtents
            && extents.allSatisfy { $0.isPossible && $0.fileOffset + $0.length <= self.size }
        guard isPossible else {
            throw DecodingError.dataCorruptedError(
                forKey: .extents, in: container, debugDescription: "an extent lies outside its file or frame")
        }
    }

    /// Writes a line; a directory has no size.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(path, forKey: .path)
        try container.encode(String(mode, radix: 8), forKey: .mode)
        if !isDirectory { try container.encode(size, forKey: .size) }
        if !extents.isEmpty { try container.encode(extents, forKey: .extents) }
    }
}

extension FileExtent: Codable {
    fileprivate var isPossible: Bool {
        let numbers = [frame.offset, frame.storedLength, contentOffset, fileOffset]
        return numbers.allSatisfy { (0..<1 << 50).contains($0) } && frame.storedLength > 0 && length > 0
            && (1...Int64(FrameReference.largestContent)).contains(frame.contentLength)
            && contentOffset < frame.contentLength && length <= frame.contentLength - contentOffset
    }

    /// Reads `[pack, offset, stored length, content length, SHA-256, offset in the content, offset in the file, length]`.
    package init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        let name = try list.decode(String.self)
        guard let pack = PackName(parsing: name) else {
            throw DecodingError.dataCorruptedError(in: list, debugDescription: "'\(name)' is not the name of a pack")
        }
        frame = FrameReference(
            pack: pack, offset: try list.decode(Int64.self), storedLength: try list.decode(Int64.self),
            contentLength: try list.decode(Int64.self), sha256: try list.decode(SHA256Digest.self))
        contentOffset = try list.decode(Int64.self)
        fileOffset = try list.decode(Int64.self)
        length = try list.decode(Int64.self)
    }

    /// Writes the list.
    package func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(frame.pack.description)
        try list.encode(frame.offset)
        try list.encode(frame.storedLength)
        try list.encode(frame.contentLength)
        try list.encode(frame.sha256)
        try list.encode(contentOffset)
        try list.encode(fileOffset)
        try list.encode(length)
    }
}

/// One line of `packs.list.zst`: a pack that the backup uses.
package struct PackLine: Sendable, Hashable, Codable {
    /// Its name.
    package var pack: String
    /// Its stored bytes.
    package var bytes: Int64
    /// The stored bytes of the frames in it that this backup uses.
    package var used: Int64
    /// What its last 32 bytes are: SHA-256 of all bytes before them.
    package var proof: SHA256Digest

    package init(pack: PackName, bytes: Int64, used: Int64, proof: SHA256Digest) {
        self.pack = pack.description
        self.bytes = bytes
        self.used = used
        self.proof = proof
    }
}
