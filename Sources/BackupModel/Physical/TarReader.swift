/// One member of a tar archive, of the kinds that PostgreSQL writes.
package struct TarMember: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case file
        case directory
        case symbolicLink(target: String)
    }

    /// Its path in the archive, without a slash at the end.
    package var path: DataPath
    package var kind: Kind
    /// Bytes of content.
    package var size: Int64
    /// The permission bits.
    package var mode: UInt32
}

/// Reads a tar archive as it comes, in the ustar form that PostgreSQL writes (`src/port/tar.c`), holding one header.
package struct TarReader: Sendable {
    /// What was found next.
    package enum Step: Sendable, Hashable {
        /// All bytes given are used up.
        case needsMore
        case member(TarMember)
        /// Content of the last member: the bytes at this place.
        case content(Range<Int>)
        /// The archive is over: two empty blocks were read.
        case end
    }

    private enum State {
        case header
        case content(Int64)
        case padding(Int)
        case ended
    }

    private static let blockSize = 512

    private var state = State.header
    private var block: [UInt8] = []
    private var emptyBlocks = 0
    private var padding = 0

    package init() {}

    /// Whether the archive was read to its end.
    package var isAtEnd: Bool { if case .ended = state { true } else { false } }

    /// Takes what comes next from `bytes`, beginning at `offset`, which is moved behind it.
    package mutating func next(_ bytes: Span<UInt8>, _ offset: inout Int) throws(BackupError) -> Step {
        while true {
            switch state {
            case .header:
                let length = min(Self.blockSize - block.count, bytes.count - offset)
                for index in offset..<offset + length { block.append(bytes[index]) }
                offset += length
                guard block.count == Self.blockSize else { return .needsMore }
                if let step = try readHeader() { return step }
            case .content(let left):
                guard offset < bytes.count else { return .needsMore }
                let length = Int(min(left, Int64(bytes.count - offset)))
                let range = offset..<offset + length
                offset += length
                state = left > Int64(length) ? .content(left - Int64(length)) : .padding(padding)
                return .content(range)
            case .padding(let left):
                let length = min(left, bytes.count - offset)
                offset += length
                guard length == left else {
                    state = .padding(left - length)
                    return .needsMore
                }
                state = .header
            case .ended:
                guard offset < bytes.count else { return .needsMore }
                throw Self.damaged("bytes follow its end")
            }
        }
    }

    private mutating func readHeader() throws(BackupError) -> Step? {
        defer { block.removeAll(keepingCapacity: true) }
        if block.allSatisfy({ $0 == 0 }) {
            emptyBlocks += 1
            guard emptyBlocks == 2 else { return nil }
            state = .ended
            return .end
        }
        guard emptyBlocks == 0 else { throw Self.damaged("an empty block stands in the middle") }
        let member = try TarHeader(block: block).member
        padding = Int((Int64(Self.blockSize) - member.size % Int64(Self.blockSize)) % Int64(Self.blockSize))
        state = member.size > 0 ? .content(member.size) : .header
        return .member(member)
    }

    fileprivate static func damaged(_ reason: String) -> BackupError {
        BackupError(
            .serverUnsupported, "An archive of the server's base backup cannot be read.", reason: reason,
            remedy: "Check that PostgreSQL 15 or newer answers, and not a proxy.", unchanged: "No backup was taken.")
    }
}

/// The header block of a member.
private struct TarHeader {
    let block: [UInt8]

    var member: TarMember {
        get throws(BackupError) {
            guard Array(block[257..<262]) == Array("ustar".utf8), try number(148..<156) == checksum else {
                throw TarReader.damaged("a header is damaged")
            }
            var name = text(0..<100)
            // So PostgreSQL writes `./pg_wal/archive_status`, and no other name.
            if name.starts(with: "./".utf8) { name.removeFirst(2) }
            guard let size = Int64(exactly: try number(124..<136)), size < 1 << 50,
                let path = DataPath(bytes: name, allowingSlashAtEnd: true)
            else { throw TarReader.damaged("a member has an impossible size or name") }
            let mode = UInt32(try number(100..<108) & 0o7777)
            switch block[156] {
            case UInt8(ascii: "0"), 0: return TarMember(path: path, kind: .file, size: size, mode: mode)
            case UInt8(ascii: "5"): return TarMember(path: path, kind: .directory, size: 0, mode: mode)
            case UInt8(ascii: "2"):
                guard let target = String(validating: text(157..<257), as: UTF8.self) else {
                    throw TarReader.damaged("a link leads to a name that is not UTF-8")
                }
                return TarMember(path: path, kind: .symbolicLink(target: target), size: 0, mode: mode)
            default: throw TarReader.damaged("a member is of an unknown type")
            }
        }
    }

    /// The sum of all bytes, those of the checksum itself counted as spaces.
    private var checksum: UInt64 {
        block.indices.reduce(0) { $0 + UInt64((148..<156).contains($1) ? UInt8(ascii: " ") : block[$1]) }
    }

    private func text(_ range: Range<Int>) -> [UInt8] { Array(block[range].prefix { $0 != 0 }) }

    /// A number in octal digits, or, where those do not suffice, in base 256 after a first byte of 0x80.
    private func number(_ range: Range<Int>) throws(BackupError) -> UInt64 {
        var value: UInt64 = 0
        if block[range.lowerBound] == 0x80 {
            for index in range.dropFirst() {
                guard value < 1 << 56 else { throw TarReader.damaged("a number is too large") }
                value = value << 8 | UInt64(block[index])
            }
            return value
        }
        for index in range {
            let digit = block[index]
            if digit == 0 || digit == UInt8(ascii: " ") { break }
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(digit) else {
                throw TarReader.damaged("a number has a digit that is not octal")
            }
            value = value << 3 | UInt64(digit - UInt8(ascii: "0"))
        }
        return value
    }
}
