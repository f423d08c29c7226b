import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Reading a log sequence number` {
    @Test(
        arguments: [
            ("0/0", 0), ("0/3000148", 0x300_0148), ("16/B374D848", 0x16_B374_D848), ("16/b374d848", 0x16_B374_D848),
            ("FFFFFFFF/FFFFFFFF", .max), ("00000001/00000002", 0x1_0000_0002),
        ] as [(String, UInt64)])
    func `reads PostgreSQL's form`(text: String, position: UInt64) {
        #expect(LogSequenceNumber(parsing: text)?.position == position)
    }

    @Test(arguments: [
        "", "/", "0", "0/", "/0", "0/0/0", "123456789/0", "0/123456789", "0/G", "+1/0", "-1/0", " 0/0", "0/0 ", "0x1/0",
        "１/0", "0\\0",
    ])
    func `refuses everything else`(text: String) {
        #expect(LogSequenceNumber(parsing: text) == nil)
    }

    @Test(arguments: 0..<50)
    func `prints what it reads, and sorts by position`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let one = LogSequenceNumber(position: .random(in: 0...(.max), using: &random))
        let other = LogSequenceNumber(position: .random(in: 0...(.max), using: &random))
        #expect(LogSequenceNumber(parsing: one.description) == one)
        #expect((one < other) == (one.position < other.position))
    }

    @Test func `prints as PostgreSQL does`() {
        #expect(LogSequenceNumber(position: 0x16_B374_D848).description == "16/B374D848")
        #expect(LogSequenceNumber(position: 0x1_0000_000A).description == "1/A")
    }
}
