/// What a stored segment's header says about the records that begin in the segment.
///
/// A record that goes on behind the segment's end is not counted: ``unfinished`` tells of it, and ``complete(with:)``
/// adds what it says.
package struct WALSegmentSummary: Sendable, Hashable, Codable {
    /// The cluster's system identifier; decimal.
    package var systemIdentifier: String
    /// PostgreSQL's major version.
    package var major: Int
    /// The timeline of the segment's first page.
    package var timeline: UInt32
    /// The position of the segment's first byte.
    package var start: LogSequenceNumber
    /// The position behind its last byte.
    package var end: LogSequenceNumber
    /// The bytes of an earlier segment's record with which this one begins; 0 for none.
    package var continuedBytes: UInt32
    /// What there is of that record.
    package var continuation: WALRecordPiece?
    /// Where the first record begins, whole or not, if there is one.
    package var firstRecord: LogSequenceNumber?
    /// Where the last record begins, whole or not, if there is one.
    package var lastRecord: LogSequenceNumber?
    /// Where the last record begins of those that are whole.
    package var lastWholeRecord: LogSequenceNumber?
    /// Where the valid WAL of the segment ends: at its end, or at the beginning of ``unfinished``, or before.
    package var validEnd: LogSequenceNumber
    /// Why the valid WAL ends before the segment does; `nil` if it does not.
    package var damage: String?
    /// The record at the segment's end whose rest is in the next one.
    package var unfinished: UnfinishedRecord?
    /// What there is of that record, if it may be one that is reported.
    package var unfinishedPiece: WALRecordPiece?

    /// How many transactions were committed, and rolled back, with a record of their own.
    package var commits = 0
    package var aborts = 0
    /// The greatest time of a commit or rollback.
    ///
    /// It need not be that of the last one: the times do not ascend.
    package var latestTime: Timestamp?
    /// Where the record of the last commit or rollback begins.
    package var lastTransactionEnd: LogSequenceNumber?

    package var restorePoints = Few<RestorePoint>()
    package var heartbeats = Few<Heartbeat>()
    package var parameterChanges = Few<ParameterChange>()
    /// Where a timeline begins: an end of recovery, or a checkpoint that took its place.
    package var timelineBeginnings = Few<TimelineBeginning>()
    /// The last checkpoint.
    package var checkpoint: Checkpoint?
    /// Where base backups ended.
    package var backupEnds = Few<BackupEnd>()
    /// Where `full_page_writes` was switched.
    package var fullPageWrites = Few<FullPageWrites>()
    /// Records that a crash left unfinished.
    package var overwrittenRecords = Few<OverwrittenRecord>()
    /// Where tablespaces were made.
    package var tablespaceCreations = Few<TablespaceCreation>()
    /// Where the segment was left for the next one, if that was before its end.
    package var switchedAt: LogSequenceNumber?

    /// The prefix of the messages that are heartbeats.
    package static let heartbeatPrefix = "apex.heartbeat"
    /// How much of a heartbeat's text is kept.
    package static let heartbeatBytes = 256

    /// The summary of a segment of which no record was read yet.
    package init(_ header: WALSegmentHeader) {
        systemIdentifier = String(header.systemIdentifier)
        major = header.major
        timeline = header.page.timeline
        start = header.page.address
        let (end, overflow) = start.position.addingReportingOverflow(header.segmentSize.bytes)
        self.end = LogSequenceNumber(position: overflow ? .max : end)
        validEnd = start
        continuedBytes = header.page.flags.contains(.continuesRecord) ? header.page.remainingLength : 0
    }

    /// The summary of a stored segment of which nobody can say anything, and why.
    package init(unknown segment: WALSegmentName, of systemIdentifier: String, why: String) {
        self.systemIdentifier = systemIdentifier
        major = 0
        timeline = segment.timeline
        start = segment.start
        end = segment.end
        validEnd = start
        continuedBytes = 0
        damage = why
    }

    /// Whether it was read from the segment.
    package var isKnown: Bool { major > 0 }
}

extension WALSegmentSummary {
    /// `pg_create_restore_point`.
    package struct RestorePoint: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var name: String
        package var time: Timestamp
    }

    /// A heartbeat: a message with ``heartbeatPrefix``.
    package struct Heartbeat: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        /// The transaction that has to be committed for it to count; 0 for none.
        package var transactionID: UInt32
        /// The first ``heartbeatBytes`` bytes of the message.
        package var text: String
    }

    /// A change of the settings that a standby has to match.
    package struct ParameterChange: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var parameters: WALParameters
    }

    /// The beginning of a timeline.
    package struct TimelineBeginning: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var timeline: UInt32
        package var previousTimeline: UInt32
        package var time: Timestamp
    }

    /// A checkpoint.
    package struct Checkpoint: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var redo: LogSequenceNumber
        package var timeline: UInt32
        package var time: Timestamp
    }

    /// The end of a base backup.
    package struct BackupEnd: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        /// Where the backup began.
        package var start: LogSequenceNumber
    }

    /// A switch of `full_page_writes`.
    package struct FullPageWrites: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var isOn: Bool
    }

    /// `CREATE TABLESPACE`.
    package struct TablespaceCreation: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        package var oid: UInt32
        /// The directory on the server that wrote it, which a server that recovers takes too.
        package var location: String
    }

    /// A record that a crash left unfinished.
    package struct OverwrittenRecord: Sendable, Hashable, Codable {
        package var lsn: LogSequenceNumber
        /// Where the unfinished record begins.
        package var start: LogSequenceNumber
    }
}

extension WALSegmentSummary {
    /// Takes a record into account, if it begins in the segment.
    ///
    /// Records come in the order of their positions.
    package mutating func add(_ record: WALRecord) {
        let lsn = record.start
        guard start <= lsn, lsn < end else { return }
        switch record.content {
        case .commit(let transaction):
            commits += 1
            note(transaction, at: lsn)
        case .abort(let transaction):
            aborts += 1
            note(transaction, at: lsn)
        case .restorePoint(let name, let time): restorePoints.append(RestorePoint(lsn: lsn, name: name, time: time))
        case .message(let message):
            guard message.prefix == Self.heartbeatPrefix else { return }
            let text = String(decoding: message.payload.prefix(Self.heartbeatBytes), as: UTF8.self)
            heartbeats.append(
                Heartbeat(
                    lsn: lsn, transactionID: message.isTransactional ? record.transactionID : 0, text: text))
        case .parameterChange(let parameters):
            parameterChanges.append(ParameterChange(lsn: lsn, parameters: parameters))
        case .endOfRecovery(let timeline, let previousTimeline, let time):
            timelineBeginnings.append(
                TimelineBeginning(lsn: lsn, timeline: timeline, previousTimeline: previousTimeline, time: time))
        case .checkpoint(let checkpoint): note(checkpoint, at: lsn)
        case .backupEnd(let start): backupEnds.append(BackupEnd(lsn: lsn, start: start))
        case .fullPageWrites(let isOn): fullPageWrites.append(FullPageWrites(lsn: lsn, isOn: isOn))
        case .overwrittenRecord(let start, _):
            overwrittenRecords.append(OverwrittenRecord(lsn: lsn, start: start))
        case .tablespaceCreation(let oid, let location):
            tablespaceCreations.append(TablespaceCreation(lsn: lsn, oid: oid, location: location))
        case .segmentSwitch: switchedAt = lsn
        case .prepare: break
        }
    }

    private mutating func note(_ transaction: TransactionEnd, at lsn: LogSequenceNumber) {
        latestTime = max(latestTime ?? transaction.time, transaction.time)
        lastTransactionEnd = lsn
    }

    private mutating func note(_ checkpoint: WALCheckpoint, at lsn: LogSequenceNumber) {
        self.checkpoint = Checkpoint(
            lsn: lsn, redo: checkpoint.redo, timeline: checkpoint.timeline, time: checkpoint.time)
        guard checkpoint.timeline != checkpoint.previousTimeline else { return }
        timelineBeginnings.append(
            TimelineBeginning(
                lsn: lsn, timeline: checkpoint.timeline, previousTimeline: checkpoint.previousTimeline,
                time: checkpoint.time))
    }

    /// The latest time of a commit, a rollback or a checkpoint in it: what was committed up to then is before its end.
    package var latestKnownTime: Timestamp? { [latestTime, checkpoint?.time].compactMap(\.self).max() }

    /// Takes into account where and why the reading of this segment ended.
    package mutating func close(_ reader: WALReader) {
        let end = reader.finish()
        firstRecord = reader.firstRecord ?? end.unfinished?.start
        lastRecord = reader.lastRecord
        lastWholeRecord = reader.lastWholeRecord
        validEnd = end.position
        unfinished = end.unfinished
        continuation = reader.continuation
        damage = end.reason == .inputEnded ? nil : "\(end.reason)"
        unfinishedPiece = damage == nil ? reader.unfinishedPiece : nil
    }
}
