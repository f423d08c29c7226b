import BackupModel
import FoundationEssentials
import Testing

@testable import ApexBackup

@Suite struct `What is said of a recovery` {
    private let mark = LogMark(LogSequenceNumber(position: 0x300_0148), Timestamp(microseconds: 0))
    private let id = RunID(at: Timestamp(microseconds: 0), chance: 7)

    @Test func `names every moment as --to takes it`() {
        let moments: [(RestoreMoment, String)] = [
            (.latest, "latest"), (.immediate, "immediate"), (.transaction(42), "xid:42"),
            (.restorePoint("before"), "name:before"), (.position(mark.lsn), "0/3000148"),
        ]
        for (moment, text) in moments { #expect(RecoveryText.moment(moment) == text) }
    }

    @Test func `says where it ends`() {
        #expect(RecoveryText.end(.consistent(mark)).hasPrefix("as soon as the backup is consistent, at 0/3000148"))
        #expect(RecoveryText.end(.before(mark)).hasPrefix("just before the record at 0/3000148 (1970"))
        #expect(RecoveryText.end(.after(LogMark(mark.lsn, nil))) == "just behind the record at 0/3000148")
        #expect(RecoveryText.end(.around(mark.lsn, record: mark.lsn)) == "at the first record from 0/3000148 on")
        #expect(RecoveryText.end(.endOfWAL(mark)).hasPrefix("at the end of the WAL that is stored, 0/3000148"))
    }

    @Test func `gives each reason that does not go without saying`() throws {
        let segment = try #require(WALSegmentName(timeline: 1, number: 3, segmentSize: .standard))
        let silent: [RecoveryReason] = [
            .timelineNamed(1), .timelineOfProduction(1), .backupNamed(id), .newestBackup(id),
        ]
        for reason in silent { #expect(RecoveryText.reason(reason) == nil) }
        let told: [(RecoveryReason, String)] = [
            (.timelineOfBackup(2), "timeline 2 is that of the backup"),
            (.timelineOfNewestBackup(2), "timeline 2 is that of the newest backup"),
            (.endsOnAncestor(1, of: 2), "recovery ends on timeline 1, before timeline 2 began"),
            (
                .noLaterTransaction(than: Timestamp(microseconds: 0), known: Timestamp(microseconds: 1)),
                "no transaction"
            ),
            (.walEndsAtPosition(mark.lsn), "the WAL ends at 0/3000148"), (.sameName([mark]), "more restore points"),
            (.passedOver(id, .damaged), "it is damaged"), (.passedOver(id, .offPath), "not on the way"),
            (.passedOver(id, .afterMoment), "only after the moment"),
            (.passedOver(id, .laterTransaction(mark)), "a transaction ended at 0/3000148"),
            (.passedOver(id, .obstacle(.missing(segment))), "000000010000000000000003, which it needs, is missing"),
            (.passedOver(id, .obstacle(.unreadable(segment, why: "cut"))), "is damaged: cut"),
        ]
        for (reason, text) in told { #expect(RecoveryText.reason(reason)?.contains(text) == true, "\(reason)") }
    }
}

@Suite struct `A few bytes as text` {
    @Test func `are read as they were written, and nothing else is`() throws {
        let bytes = HexBytes([0, 1, 0x7F, 0xAB, 0xFF])
        #expect("\(bytes)" == "00017fabff")
        let coded = try RepositoryJSON.encodePlain([bytes], pretty: false)
        #expect(try RepositoryJSON.decodePlain([HexBytes].self, from: coded, name: "bytes") == [bytes])
        for wrong in [#"["0"]"#, #"["0G"]"#, #"["AB"]"#, #"[1]"#] {
            #expect(throws: BackupError.self) {
                try RepositoryJSON.decodePlain([HexBytes].self, from: Array(wrong.utf8), name: "bytes")
            }
        }
        #expect(HexBytes(hex: String(repeating: "00", count: HexBytes.limit + 1)) == nil)
    }

    @Test func `of a record are as many as its length says`() throws {
        let piece = WALRecordPiece([1, 2, 3])
        let coded = try RepositoryJSON.encodePlain(piece, pretty: false)
        #expect(try RepositoryJSON.decodePlain(WALRecordPiece.self, from: coded, name: "piece") == piece)
        let short = #"{"checksum":1,"first":"01","length":3}"#
        #expect(throws: BackupError.self) {
            try RepositoryJSON.decodePlain(WALRecordPiece.self, from: Array(short.utf8), name: "piece")
        }
    }
}
