import BackupModel
import BackupStorage

/// What a receiver of WAL asks of the archive, and tells it.
extension WALArchive {
    /// Where a stream of WAL goes on for a slot that keeps it from `kept` on: where what is stored ends.
    ///
    /// That may be before the slot's WAL begins: the server may have it all the same.
    func receptionStart(
        kept: LogSequenceNumber, history: TimelineHistory, size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionStart {
        let first = LogSequenceNumber(position: kept.position - size.offset(of: kept))
        let end = try newestEnd(along: history, size: size) ?? first
        let start = try firstMissing(from: min(end, first), history, size)
        // What is known to be lost is not asked for again.
        guard start.position < first,
            try gapRecords().contains(where: { $0.timeline == start.timeline && $0.from == start.position })
        else { return start }
        return try firstMissing(from: first, history, size)
    }

    private func firstMissing(
        from position: LogSequenceNumber, _ history: TimelineHistory, _ size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionStart {
        try WALReceptionStart.find(
            from: position, history: history, size: size,
            isStored: { segment throws(BackupError) in
                try repository.storage.info(layout.segment(segment)) != nil
            },
            piecesEnd: { segment throws(BackupError) in try piecesEnd(of: segment) })
    }

    /// The end of the stored pieces of a segment, from its beginning on.
    func piecesEnd(of segment: WALSegmentName) throws(BackupError) -> LogSequenceNumber? {
        try pieces(of: segment).last.map { LogSequenceNumber(position: segment.start.position + UInt64($0.to)) }
    }

    /// The end of the newest WAL that is stored of the timelines that lead to that of `history`; `nil` if there is none.
    func newestEnd(along history: TimelineHistory, size: WALSegmentSize) throws(BackupError) -> LogSequenceNumber? {
        let unfinished = try repository.storage.children(of: layout.pieces).compactMap {
            WALSegmentName(parsing: $0, segmentSize: size)
        }
        for stretch in history.path.reversed() {
            var end = try newest(onTimeline: stretch.timeline, size: size)?.end
            if let last = unfinished.filter({ $0.timeline == stretch.timeline }).max(),
                let reached = try piecesEnd(of: last)
            {
                end = max(end ?? reached, reached)
            }
            if let end, end > stretch.start { return min(end, stretch.end ?? end) }
        }
        return nil
    }

    /// Removes the pieces of a segment that is stored whole.
    func removePieces(of segment: WALSegmentName) throws(BackupError) {
        let folder = layout.pieces(of: segment)
        try repository.storage.remove(try repository.storage.children(of: folder).map(folder.appending))
    }

    /// Removes the pieces of all segments that are stored whole by now.
    func removePiecesOfWholeSegments(size: WALSegmentSize) throws(BackupError) {
        for name in try repository.storage.children(of: layout.pieces) {
            guard let segment = WALSegmentName(parsing: name, segmentSize: size), try record(of: segment) != nil
            else { continue }
            try removePieces(of: segment)
        }
    }

    /// Records WAL that is lost; the same again is the same.
    func store(_ gap: WALGapRecord) throws(BackupError) { _ = try repository.put(gap, at: layout.gap(gap)) }

    /// The WAL that is known to be lost, by timeline and position.
    func gapRecords() throws(BackupError) -> [WALGapRecord] {
        var records: [WALGapRecord] = []
        for name in try repository.storage.children(of: layout.gaps) where name.hasSuffix(".json") {
            guard let record = try repository.get(WALGapRecord.self, at: layout.gaps.appending(name)) else { continue }
            records.append(record)
        }
        return records
    }
}
