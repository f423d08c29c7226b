import BackupModel
import BackupStorage

/// Content for one frame: a piece of a large file, or of several small ones.
struct FramePiece: Sendable {
    /// A part of a file in it.
    struct Slice: Sendable, Hashable {
        var file: Int
        var contentOffset: Int
        var fileOffset: Int64
        var length: Int
    }

    var content: [UInt8] = []
    var slices: [Slice] = []
}

/// Cuts the contents of files, one after the other, into pieces of at most ``FrameReference/largestContent``.
///
/// A large file is cut at multiples of that, so that a big table is shared by all workers and a later backup finds the
/// same pieces; small files share a piece.
struct PieceCutter {
    private let largest: Int
    private var piece = FramePiece()
    private var file = 0
    private var fileOffset: Int64 = 0

    init(largest: Int = FrameReference.largestContent) { self.largest = largest }

    /// Begins the file with the number `file`; returns a piece that is complete because of it.
    mutating func begin(_ file: Int, size: Int64) -> FramePiece? {
        self.file = file
        fileOffset = 0
        return size > Int64(largest - piece.content.count) ? takePiece() : nil
    }

    /// Takes content of the file; calls `body` with each piece that is complete.
    mutating func add(_ bytes: Span<UInt8>, _ body: (FramePiece) throws(BackupError) -> Void) throws(BackupError) {
        var taken = 0
        while taken < bytes.count {
            if piece.content.capacity < largest { piece.content.reserveCapacity(largest) }
            let length = min(bytes.count - taken, largest - piece.content.count)
            extendSlice(by: length)
            piece.content.append(copying: bytes.extracting(taken..<taken + length))
            taken += length
            fileOffset += Int64(length)
            if piece.content.count == largest, let full = takePiece() { try body(full) }
        }
    }

    /// What is left, if anything.
    mutating func takePiece() -> FramePiece? {
        guard !piece.content.isEmpty else { return nil }
        defer { piece = FramePiece() }
        return piece
    }

    private mutating func extendSlice(by length: Int) {
        if let last = piece.slices.indices.last, piece.slices[last].file == file {
            piece.slices[last].length += length
        } else {
            piece.slices.append(
                .init(file: file, contentOffset: piece.content.count, fileOffset: fileOffset, length: length))
        }
    }
}
