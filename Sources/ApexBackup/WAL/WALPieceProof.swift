import BackupModel
import BackupStorage

/// The proof of what is stored of a segment that is not finished, before a receiver goes on behind it.
extension WALArchive {
    /// The end of the stored pieces of a segment, from its beginning on, after each of them was read, proved, and made
    /// durable; `nil` if there are none.
    ///
    /// A piece that is not what was stored is removed, and a warning names it: nothing could be stored in its place, and
    /// what reads the segment would take it for its content. The server has those bytes, or they are lost.
    func provedPiecesEnd(of segment: WALSegmentName) throws(BackupError) -> LogSequenceNumber? {
        var attempts = 20
        while true {
            let chain = try pieces(of: segment)
            switch try proof(of: chain) {
            case .good:
                try repository.storage.makeDurable(chain.map(layout.piece))
                return chain.last.map { LogSequenceNumber(position: segment.start.position + UInt64($0.to)) }
            // Another receiver has put something longer in its place.
            case .gone(let piece):
                attempts -= 1
                guard attempts > 0 else { throw Self.neitherThereNorGone(layout.piece(piece)) }
            case .damaged(let piece, let reason):
                let key = layout.piece(piece)
                repository.environment.warn(
                    "'\(key)', a piece of WAL segment \(segment), is damaged (\(reason)). It is removed, and received "
                        + "again.")
                try repository.storage.remove(key)
            }
        }
    }

    private enum PieceProof {
        case good
        case gone(WALPiece)
        case damaged(WALPiece, String)
    }

    private static func neitherThereNorGone(_ key: ObjectKey) -> BackupError {
        BackupError(
            .repositoryUnavailable, "'\(key)' cannot be read.",
            reason: "listings show it again and again, and it is not there when it is asked for",
            remedy: "Check that whatever holds the repository shows the same to everybody.")
    }

    private func proof(of chain: [WALPiece]) throws(BackupError) -> PieceProof {
        var end: UInt32 = 0
        var start: [UInt8] = []
        for piece in chain {
            let content = PieceSink()
            do throws(BackupError) {
                guard try read(piece, into: content) else { return .gone(piece) }
            } catch {
                switch error.code {
                case .objectMissing: return .gone(piece)
                case .objectDamaged: return .damaged(piece, error.reason ?? error.message)
                default: throw error
                }
            }
            if start.count < WALPageHeader.longestSize { start += content.start.dropFirst(Int(end - piece.from)) }
            end = piece.to
        }
        guard let first = chain.first, start.count >= WALPageHeader.longestSize else { return .good }
        do throws(BackupError) {
            try WALSegmentHeader.check(
                WALSegmentHeader(parsing: start.span), of: first.segment, length: first.segment.size.bytes,
                expecting: systemIdentifier)
            return .good
        } catch {
            return .damaged(first, error.reason ?? error.message)
        }
    }
}

/// Keeps the first bytes of a piece.
private final class PieceSink: ByteSink {
    private(set) var start: [UInt8] = []

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        let missing = WALPageHeader.longestSize - start.count
        if missing > 0 { start.append(copying: bytes.extracting(0..<min(bytes.count, missing))) }
    }

    func finish() throws(BackupError) {}
}
