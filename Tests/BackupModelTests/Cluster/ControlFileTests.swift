import Testing

@testable import BackupModel

@Suite struct `Reading a control file` {
    @Test func `gives what pg_controldata prints, for each layout`() throws {
        let fifteen = try ControlFile(parsing: ControlFileFixtures.major15)
        #expect(fifteen.systemIdentifier == 7_711_087_885_548_144_443 && fifteen.major == 15)
        #expect(fifteen.state == .inProduction && fifteen.walLevel == .logical)
        #expect(fifteen.checkpoint.location == LogSequenceNumber(parsing: "0/3012918"))
        #expect(fifteen.checkpoint.redo == LogSequenceNumber(parsing: "0/30128E0"))
        #expect(fifteen.layout.walSegmentSize == 16 << 20 && fifteen.dataChecksumVersion == 1)
        #expect(fifteen.tracksCommitTimestamps && fifteen.logsHints)
        #expect(fifteen.updateTime == 1_795_377_557 && fifteen.layout.isCharSigned == nil)
        #expect(fifteen.hotStandby == Self.raised)

        let sixteen = try ControlFile(parsing: ControlFileFixtures.major16)
        #expect(sixteen.major == 16 && sixteen.walLevel == .minimal && sixteen.dataChecksumVersion == 0)
        #expect(sixteen.layout.walSegmentSize == 64 << 20 && !sixteen.tracksCommitTimestamps)
        #expect(sixteen.hotStandby[.maxWALSenders] == 0 && sixteen.hotStandby[.maxConnections] == 100)

        let seventeen = try ControlFile(parsing: ControlFileFixtures.major17)
        #expect(seventeen.major == 17 && seventeen.hotStandby == Self.raised)
        #expect(seventeen.checkpoint.redo == LogSequenceNumber(parsing: "0/7F6840"))
        #expect(seventeen.layout.walSegmentSize == 1 << 20)

        let eighteen = try ControlFile(parsing: ControlFileFixtures.major18)
        #expect(eighteen.major == 18 && eighteen.state == .shutDown && eighteen.layout.isCharSigned == true)
        #expect(eighteen.checkpoint.timeline == 2 && eighteen.hotStandby == Self.raised)
        #expect(eighteen.recovery.minimum.position == 0 && !eighteen.recovery.isBackupEndRequired)
        #expect(eighteen.layout.blockSize == 8192 && eighteen.layout.passesFloat8ByValue)
    }

    @Test func `is told from that of another server of the cluster by what servers say of theirs`() throws {
        var control = try ControlFile(parsing: ControlFileFixtures.major15)
        let told = ControlFile.Mark(
            isInRecovery: false, updateTime: 1_795_377_557,
            checkpoint: try #require(LogSequenceNumber(parsing: "0/3012918")),
            redo: try #require(LogSequenceNumber(parsing: "0/30128E0")))
        #expect(control.mark == told)
        // A standby that has come to the same checkpoint, and another that has not.
        control.state = .inArchiveRecovery
        #expect(control.mark != told)
        control.state = .inProduction
        control.checkpoint.redo = LogSequenceNumber(position: 1)
        #expect(control.mark != told)
    }

    @Test func `finds every flipped byte of what the checksum covers`() throws {
        for index in 0..<296 {
            var bytes = ControlFileFixtures.major18
            bytes[index] ^= 0x40
            #expect(throws: BackupError.self, "byte \(index)") { try ControlFile(parsing: bytes) }
        }
    }

    @Test(arguments: [0, 1, 300, 8191, 8193])
    func `refuses another length`(length: Int) {
        let bytes = Array((ControlFileFixtures.major17 + [0, 0]).prefix(length))
        let error = #expect(throws: BackupError.self) { try ControlFile(parsing: bytes) }
        #expect(error?.code == .objectDamaged)
        #expect(error?.reason == "it has \(length) bytes and must have 8192")
    }

    @Test func `tells another layout and another byte order from damage`() {
        var bytes = ControlFileFixtures.major15
        bytes.replaceSubrange(8..<12, with: [0xB1, 0x04, 0, 0])
        let other = #expect(throws: BackupError.self) { try ControlFile(parsing: bytes) }
        #expect(other?.code == .serverUnsupported && other?.reason?.contains("number 1201") == true)
        bytes.replaceSubrange(8..<12, with: [0, 0, 0x05, 0x14])
        let swapped = #expect(throws: BackupError.self) { try ControlFile(parsing: bytes) }
        #expect(swapped?.reason == "it was written on a machine with the other byte order")
    }

    @Test func `refuses values that no server writes although the checksum holds`() {
        var bytes = ControlFileFixtures.major15
        bytes[16] = 7
        let sum = CRC32C.checksum(of: bytes[..<288])
        bytes.replaceSubrange(288..<292, with: (0..<4).map { UInt8(truncatingIfNeeded: sum >> (8 * $0)) })
        let error = #expect(throws: BackupError.self) { try ControlFile(parsing: bytes) }
        #expect(error?.reason == "it has a value that no server writes")
    }

    @Test func `has the published check value of its checksum`() {
        #expect(CRC32C.checksum(of: "123456789".utf8) == 0xE306_9283)
        var pieces = CRC32C()
        pieces.update("1234".utf8)
        pieces.update("56789".utf8)
        #expect(pieces.value == 0xE306_9283 && CRC32C().value == 0)
    }

    @Test func `needs the greatest of each hot-standby parameter`() throws {
        var first = Self.raised
        first.maxConnections = 500
        var second = Self.raised
        second.maxLocksPerTransaction = 3
        first.maxWALSenders = 40
        let needed = Self.raised.raised(by: [first, second])
        #expect(HotStandbyParameters.Name.allCases.map { needed[$0] } == [500, 11, 40, 17, 77])
        #expect(Self.raised.raised(by: []) == Self.raised)
    }

    private static let raised = HotStandbyParameters(
        maxConnections: 23, maxWorkerProcesses: 11, maxWALSenders: 3, maxPreparedTransactions: 17,
        maxLocksPerTransaction: 77)
}
