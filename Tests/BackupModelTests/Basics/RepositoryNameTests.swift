import Testing

@testable import BackupModel

@Suite struct `Naming objects` {
    @Test(arguments: [
        "a", "a/b", "repository.json", "clusters/app/backups/20261121T020000Z-7f3a/db-5.dump.gz", "...", "é", "a b",
    ])
    func `takes keys that stay inside the repository`(text: String) {
        #expect(ObjectKey(parsing: text)?.text == text)
    }

    @Test(arguments: [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a/../b", "a\\b", "a\nb", "a\0b", "a\u{7F}b",
        "a\tb",
        "a/\u{301}..", "a/\u{301}",
    ])
    func `refuses keys that could leave it or confuse a shell`(text: String) {
        #expect(ObjectKey(parsing: text) == nil)
    }

    @Test func `limits the length of a key and of its components`() {
        let component = String(repeating: "a", count: 255)
        #expect(ObjectKey(parsing: component) != nil)
        #expect(ObjectKey(parsing: component + "a") == nil)
        let long = "\(component)/\(component)/\(component)/\(component)"
        #expect(ObjectKey(parsing: long) != nil)
        #expect(ObjectKey(parsing: long + "/a") == nil)
    }

    @Test func `builds, takes apart and sorts keys`() {
        let key = ObjectKey("clusters", "app").appending("backups/x")
        #expect(key.text == "clusters/app/backups/x")
        #expect(key.lastComponent == "x")
        #expect("\(key)" == key.text)
        #expect(ObjectKey("a-b") < ObjectKey("a/b"))
        #expect(ObjectKey("Z") < ObjectKey("a"))
    }
}

@Suite struct `Naming runs` {
    @Test func `makes a name of an instant and a number`() {
        let instant = Timestamp(.init(year: 2026, month: 11, day: 21, hour: 2))
        #expect(RunID(at: instant, chance: 0x7F3A).text == "20261121T020000Z-7f3a")
        #expect(RunID(at: instant, chance: 0).text == "20261121T020000Z-0000")
        #expect(RunID(at: instant, chance: .max).text == "20261121T020000Z-ffff")
        #expect(RunID(parsing: "20261121T020000Z-7f3a") == RunID(at: instant, chance: 0x7F3A))
    }

    @Test(arguments: [
        "", "20261121T020000Z", "20261121T020000Z-7F3A", "20261121T020000Z-7f3", "20261121T020000Z-7f3a0",
        "20261121t020000Z-7f3a", "2026-11-21T02:00:00Z", "20261121T020000Z_7f3a", "20261121T020000Z-7f3g",
        "../61121T020000Z-7f3a", "２0261121T0200Z-7f3a", "d0261121T020000Z-7f3a",
    ])
    func `refuses every other form`(text: String) {
        #expect(RunID(parsing: text) == nil)
    }

    @Test func `sorts by time, then by number`() {
        let first = Timestamp(.init(year: 2026, month: 1, day: 31, hour: 23, minute: 59, second: 59))
        let second = first.advanced(by: .seconds(1))
        #expect(RunID(at: first, chance: 9) < RunID(at: second, chance: 1))
        #expect(RunID(at: first, chance: 1) < RunID(at: first, chance: 0xA))
    }
}
