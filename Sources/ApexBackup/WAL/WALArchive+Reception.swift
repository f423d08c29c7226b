import BackupModel
import BackupStorage
import PostgresAccess

/// Where a receiver of WAL goes on.
struct WALReceptionPlace: Sendable, Hashable {
    /// Behind what is stored: a server that is not behind that too is not the one whose WAL it is.
    var start: WALReceptionStart
    /// Up to where WAL is lost if the server does not have it from there on any more; `nil` where the slot keeps it.
    var lostTo: LogSequenceNumber?
}

/// WAL that is missing in front of what is stored.
struct WALReceptionHole: Sendable, Hashable {
    var start: WALReceptionStart
    /// The first position behind it.
    var end: LogSequenceNumber
}

/// What a receiver of WAL asks of the archive, and tells it.
extension WALArchive {
    /// Where a stream of WAL goes on for a slot that keeps it from `kept` on: where what is stored ends, and is proved.
    ///
    /// The slot keeps the whole segment up to whose middle it was told that everything is stored: of that one the server
    /// has what turns out to be damaged. What is before it the server may have all the same, and it is asked for that.
    func receptionPlace(
        kept: LogSequenceNumber, history: TimelineHistory, size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionPlace {
        let first = LogSequenceNumber(position: kept.position - size.offset(of: kept))
        let end = try newestEnd(along: history, size: size) ?? first
        var start = try firstMissing(from: min(end, first), history, size)
        // What is known to be lost is not asked for again.
        if start.position < first, try isRecorded(start) { start = try firstMissing(from: first, history, size) }
        return WALReceptionPlace(start: start, lostTo: start.position < first ? first : nil)
    }

    /// The last hole before a position, which a backup leaves that stores its own WAL while nobody receives; none if what
    /// tells of it is damaged.
    func receptionHole(
        before position: LogSequenceNumber, history: TimelineHistory, size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionHole? {
        do throws(BackupError) {
            return try hole(before: position, history, size)
        } catch {
            guard error.code.isDamage else { throw error }
            repository.environment.warn("Whether there is a hole in the stored WAL is not known: \(error.message)")
            return nil
        }
    }

    /// The last hole before a position, unless it is known or meant to be.
    private func hole(
        before position: LogSequenceNumber, _ history: TimelineHistory, _ size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionHole? {
        guard let hole = try newestSegments(along: history, size).lastHole(before: position, along: history) else {
            return nil
        }
        let start = try firstMissing(from: hole.lowerBound, history, size)
        guard start.position < hole.upperBound, try !isRecorded(start) else { return nil }
        // A backup without an archive stores the WAL that it needs and no more, and of old backups no more is kept.
        let backups = try physicalBackups()
        guard !backups.contains(where: { $0.endsWAL(at: start.position, size) }) else { return nil }
        return WALReceptionHole(start: start, end: hole.upperBound)
    }

    /// How many log folders without a roll-up are listed to find a hole: a receiver has to begin soon.
    private static let mostListed = 64

    /// The segments in the newest log folders along a history that are stored whole; what is older counts as never stored.
    private func newestSegments(
        along history: TimelineHistory, _ size: WALSegmentSize
    ) throws(BackupError) -> WALCoverage {
        let timelines = history.ancestorTimelines.union([history.timeline])
        let rolledUp = try WALRollUps(self, size: size).logs
        var coverage = WALCoverage(segmentSize: size)
        var listed = 0
        for log in try logs().reversed() where timelines.contains(log.timeline) {
            if rolledUp.contains(log), let whole = log.segments(size) {
                coverage.insert(whole.numbers, timeline: log.timeline)
                continue
            }
            guard listed < Self.mostListed else { break }
            listed += 1
            for segment in try stored(in: log, size: size).segments.keys {
                coverage.insert(segment...segment, timeline: log.timeline)
            }
        }
        return coverage
    }

    /// The physical backups of this incarnation.
    private func physicalBackups() throws(BackupError) -> [RecoveryCandidate] {
        let entries = try Catalogue(repository).entries()
        return entries.compactMap {
            $0.manifest?.systemIdentifier == "\(systemIdentifier)" ? RecoveryCandidate($0) : nil
        }
    }

    /// Whether a backup that may be restored needs nothing that is before a position.
    func hasBackup(from position: LogSequenceNumber) throws(BackupError) -> Bool {
        try physicalBackups().contains { $0.start >= position && !$0.isDamaged }
    }

    private func isRecorded(_ start: WALReceptionStart) throws(BackupError) -> Bool {
        try repository.storage.children(of: layout.gaps).contains { $0.hasPrefix(WALGapRecord.namePrefix(start)) }
    }

    /// The first position from `position` on that is not stored; what is stored before it is durable when this returns.
    ///
    /// A segment counts only with its trailer: the server is told that it is stored, and lets go of it.
    private func firstMissing(
        from position: LogSequenceNumber, _ history: TimelineHistory, _ size: WALSegmentSize
    ) throws(BackupError) -> WALReceptionStart {
        var counted: [ObjectKey] = []
        let start = try WALReceptionStart.find(
            from: position, history: history, size: size,
            isStored: { segment throws(BackupError) in
                guard try isStoredUndamaged(segment) else { return false }
                counted.append(layout.segment(segment))
                if counted.count == Self.mostCounted {
                    try repository.storage.makeDurable(counted)
                    counted = []
                }
                return true
            },
            piecesEnd: { segment throws(BackupError) in try provedPiecesEnd(of: segment) })
        try repository.storage.makeDurable(counted)
        return start
    }

    /// How many segments are made durable together.
    private static let mostCounted = 256

    /// Whether a segment is stored whole, as far as its trailer tells, of one that the server still has.
    private func isStoredUndamaged(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        do throws(BackupError) {
            return try record(of: segment) != nil
        } catch {
            guard error.code == .objectDamaged else { throw error }
            throw BackupError(
                error.code, error.message, reason: error.reason,
                remedy: "The server still has this segment: move '\(layout.segment(segment))' out of the repository, "
                    + "and it is received again.",
                unchanged: "The server was not told that the segment is stored.")
        }
    }

    /// Whether a segment is stored whole, as far as its trailer tells; one that is, is durable when this returns.
    func isStoredDurably(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        guard try record(of: segment) != nil else { return false }
        try repository.storage.makeDurable([layout.segment(segment)])
        return true
    }

    /// The end of the stored pieces of a segment, from its beginning on.
    func piecesEnd(of segment: WALSegmentName) throws(BackupError) -> LogSequenceNumber? {
        try pieces(of: segment).last.map { LogSequenceNumber(position: segment.start.position + UInt64($0.to)) }
    }

    /// The end of the newest WAL that is stored of the timelines that lead to that of `history`; `nil` if there is none.
    func newestEnd(along history: TimelineHistory, size: WALSegmentSize) throws(BackupError) -> LogSequenceNumber? {
        let begun = try begun(size: size)
        for stretch in history.path.reversed() {
            var end = try newest(onTimeline: stretch.timeline, size: size)?.end
            if let last = begun.filter({ $0.timeline == stretch.timeline }).max(),
                let reached = try piecesEnd(of: last)
            {
                end = max(end ?? reached, reached)
            }
            if let end, end > stretch.start { return min(end, stretch.end ?? end) }
        }
        return nil
    }

    /// Removes the pieces of a segment that is stored whole, and durable.
    func removePieces(of segment: WALSegmentName) throws(BackupError) {
        let folder = layout.pieces(of: segment)
        try repository.storage.remove(try repository.storage.children(of: folder).map(folder.appending))
    }

    /// Removes the pieces of all segments that are stored whole by now.
    func removePiecesOfWholeSegments(size: WALSegmentSize) throws(BackupError) {
        for segment in try begun(size: size) {
            if try isStoredUndamagedAndDurable(segment) { try removePieces(of: segment) }
        }
    }

    /// The same as ``isStoredDurably(_:)``: beside a segment that is damaged its pieces are of use.
    private func isStoredUndamagedAndDurable(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        do throws(BackupError) {
            return try isStoredDurably(segment)
        } catch {
            guard error.code.isDamage else { throw error }
            return false
        }
    }

    /// Stores where a timeline comes from, as the server of the session says.
    ///
    /// It may have the WAL of an older timeline and not its history, which that of its own tells too.
    func storeHistory(of timeline: UInt32, over session: ReplicationSession) async throws {
        guard timeline > 1 else { return }
        do {
            try store(try await session.timelineHistory(timeline), of: timeline)
        } catch let error as BackupError where error.tellsOfRemovedFile {
            guard try history(of: timeline) == nil else { return }
            repository.environment.warn(
                "The server has no history of timeline \(timeline): nothing can be recovered to that one.")
        }
    }

    /// Records WAL that is lost, and tells of it.
    func record(_ gap: WALGapRecord, in log: WALReceptionLog) throws(BackupError) {
        try store(gap)
        log.add(gap)
        // That of the backups is another matter, of which whoever looks at them is told.
        let isBehind = (try? hasBackup(from: gap.to)) ?? false
        repository.environment.warn(
            gap.description
                + (isBehind
                    ? " A base backup begins behind it."
                    : " Take a new base backup: apex-backup backup --kind physical"))
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

extension BackupError {
    /// Whether a server says that it does not have the WAL, or another file, that it was asked for.
    var tellsOfRemovedFile: Bool { sqlstate == "58P01" }
}

extension RecoveryCandidate {
    /// Whether what a backup stores of WAL for itself ends at a position: where it ends, or its segment.
    fileprivate func endsWAL(at position: LogSequenceNumber, _ size: WALSegmentSize) -> Bool {
        let rest = size.offset(of: stop)
        return position == stop || rest > 0 && position.position == stop.position - rest + size.bytes
    }
}
