/// Where a stream of WAL goes on: exactly where what is stored ends.
package struct WALReceptionStart: Sendable, Hashable {
    package var timeline: UInt32
    package var position: LogSequenceNumber

    package init(timeline: UInt32, position: LogSequenceNumber) {
        self.timeline = timeline
        self.position = position
    }

    /// The first position from `position` on that is not stored, along the history of the server's timeline.
    ///
    /// Of a segment in which a timeline begins, the bytes before that are its own too: they repeat the ancestor's.
    /// `isStored` tells whether a segment is stored whole, `piecesEnd` where the pieces end that are stored of one, from
    /// its beginning on.
    package static func find(
        from position: LogSequenceNumber, history: TimelineHistory, size: WALSegmentSize,
        isStored: (WALSegmentName) throws(BackupError) -> Bool,
        piecesEnd: (WALSegmentName) throws(BackupError) -> LogSequenceNumber?
    ) throws(BackupError) -> WALReceptionStart {
        var position = position
        while true {
            let timeline = history.timeline(at: position)
            guard let segment = WALSegmentName(timeline: timeline, containing: position, segmentSize: size) else {
                preconditionFailure("a history has no timeline 0")
            }
            let left = history.ancestors.first { $0.timeline == timeline }?.end
            var stored = segment.start
            if try isStored(segment) {
                stored = segment.end
            } else if let end = try piecesEnd(segment), end < segment.end {
                // Pieces that fill it are not the segment: only all of it once more makes it whole.
                stored = end
            }
            if let left, stored >= left, left > position {
                position = left
            } else if stored == segment.end {
                position = stored
            } else {
                return WALReceptionStart(timeline: timeline, position: stored)
            }
        }
    }
}
