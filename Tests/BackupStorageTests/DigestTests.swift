import BackupModel
import BackupStorage
import Testing

@Suite struct `Computing a digest` {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    func `agrees with the published examples`(text: String, hex: String) throws {
        let sink = DigestSink()
        for byte in text.utf8 { try sink.write([byte].span) }
        try sink.finish()
        #expect(sink.digest.description == hex)
        #expect(sink.byteCount == text.utf8.count)
        #expect(SHA256Digest(hex: hex) == sink.digest)
    }

    @Test func `passes the bytes on unchanged`() throws {
        let end = CollectingSink(limit: 10)
        let sink = DigestSink(into: end)
        try sink.write([1, 2].span)
        try sink.write([3].span)
        try sink.finish()
        #expect(end.bytes == [1, 2, 3])
        #expect(sink.byteCount == 3)
    }

    @Test func `has exactly one spelling`() {
        let digest = SHA256Digest(bytes: Array(repeating: 0xAB, count: 32))
        let hex = digest.description
        #expect(SHA256Digest(hex: hex) == digest)
        for wrong in [
            hex.uppercased(), String(hex.dropLast()), hex + "0", "g" + hex.dropFirst(), "é" + hex.dropFirst(2),
        ] {
            #expect(SHA256Digest(hex: wrong) == nil, "\(wrong)")
        }
    }
}

@Suite struct `Proving a JSON object by its last line` {
    private let json = Array("{\"state\": \"done\"}\n".utf8)

    @Test func `gives back what was sealed`() throws {
        #expect(try SelfProof.open(SelfProof.seal(json), name: "a.json") == json)
        #expect(try SelfProof.open(SelfProof.seal(json.dropLast()), name: "a.json") == json)
        #expect(try SelfProof.open(SelfProof.seal([]), name: "a.json") == [UInt8(ascii: "\n")])
    }

    @Test func `ends with a line that sha256sum can check`() {
        let digest = SHA256.digest(of: json.span)
        #expect(SelfProof.seal(json) == json + Array("sha256:\(digest)\n".utf8))
    }

    @Test func `finds every flipped bit`() {
        let sealed = SelfProof.seal(json)
        for bit in 0..<sealed.count * 8 {
            var flipped = sealed
            flipped[bit / 8] ^= 1 << (bit % 8)
            let code = errorCode { () throws(BackupError) in _ = try SelfProof.open(flipped, name: "a.json") }
            #expect(code == .objectDamaged, "bit \(bit)")
        }
    }

    @Test func `finds every missing and added byte, and names the object`() {
        let sealed = SelfProof.seal(json)
        for count in 0..<sealed.count {
            #expect(throws: BackupError.self) { try SelfProof.open(Array(sealed.prefix(count)), name: "a.json") }
        }
        let error = #expect(throws: BackupError.self) { try SelfProof.open(sealed + [10], name: "clusters/a.json") }
        #expect(error?.code == .objectDamaged)
        #expect(error?.message.contains("clusters/a.json") == true)
    }
}
