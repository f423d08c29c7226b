import Testing

@testable import BackupModel

@Suite struct `Reading what --to was given` {
    @Test(
        arguments: [
            ("latest", .moment(.latest)),
            ("immediate", .moment(.immediate)),
            ("xid:48213", .moment(.transaction(48213))),
            ("name:before-migration", .moment(.restorePoint("before-migration"))),
            ("name:a://b", .moment(.restorePoint("a://b"))),
            ("0/3000148", .moment(.position(LogSequenceNumber(position: 0x300_0148)))),
            ("16/b374d848", .moment(.position(LogSequenceNumber(position: 0x16_B374_D848)))),
            ("1970-01-01T00:00:01Z", .moment(.time(Timestamp(microseconds: 1_000_000)))),
            ("1970-01-01 00:00:01+00", .moment(.time(Timestamp(microseconds: 1_000_000)))),
            ("1970-01-01T02:00:01+02:00", .moment(.time(Timestamp(microseconds: 1_000_000)))),
            ("/srv/pg", .place(.directory("/srv/pg"))),
            ("/", .place(.directory("/"))),
            ("./pg", .place(.directory("./pg"))),
            ("../pg", .place(.directory("../pg"))),
            ("/a://b", .place(.directory("/a://b"))),
            ("postgresql://u:p@h/d", .place(.url("postgresql://u:p@h/d"))),
            ("postgres://h", .place(.url("postgres://h"))),
            ("postgresql+asyncpg://h/d", .place(.url("postgresql+asyncpg://h/d"))),
            ("PostgreSQL://h/d", .place(.url("PostgreSQL://h/d"))),
        ] as [(String, RestoreTarget)])
    func `knows moments and places`(text: String, target: RestoreTarget) throws {
        #expect(try RestoreTarget(parsing: text) == target)
    }

    @Test func `refuses a time without an offset, with both readings it could have`() throws {
        let error = try refusal("2025-01-27 14:30")
        #expect(error.message.contains("'2025-01-27 14:30'"))
        #expect(error.remedy.contains("2025-01-27T14:30:00Z if it is UTC"))
        #expect(error.remedy.contains("2025-01-27T14:30:00+02:00, which is 2025-01-27T12:30:00Z"))
        #expect(error.unchanged == "Nothing was restored.")
    }

    @Test(arguments: [
        "", "pg", "pg/data", "~/pg", ".", "Latest ", "2025-01-27", "2025-13-01T00:00:00Z", "0/", "123456789/0", "app",
        "..", "localhost:5432", "xid", "name",
    ])
    func `refuses everything else with the forms there are`(text: String) throws {
        let error = try refusal(text)
        for form in ["latest", "immediate", "xid:", "name:", "0/3000148", "Z", "postgresql://", "./"] {
            #expect(error.remedy.contains(form))
        }
    }

    @Test func `guesses a word that was mistyped`() throws {
        #expect(try refusal("lastest").remedy.hasPrefix("Did you mean 'latest'?"))
        #expect(try refusal("LATEST").remedy.hasPrefix("Did you mean 'latest'?"))
        #expect(try refusal("imediate").remedy.hasPrefix("Did you mean 'immediate'?"))
        #expect(try refusal("postgers://h/d").remedy.contains("'postgres://'"))
    }

    @Test(arguments: ["xid:", "xid:abc", "xid:0", "xid:-1", "xid:+1", "xid:99999999999999999999", "name:"])
    func `refuses a number or a name that cannot be one`(text: String) throws {
        #expect(try refusal(text).message.contains("'\(text)'"))
    }

    @Test func `refuses a restore point's name that PostgreSQL would cut`() throws {
        #expect(try RestoreTarget(parsing: "name:" + String(repeating: "a", count: 63)) != .moment(.latest))
        _ = try refusal("name:" + String(repeating: "a", count: 64))
        _ = try refusal("name:" + String(repeating: "é", count: 32))
    }

    @Test(arguments: [
        "mysql://u:hunter2@h/d", "postgresq://u:hunter2@h/d", "://u:hunter2@h", "u:hunter2@h/d",
        "host=h password=hunter2",
        "sqlite://h?password=hunter2", "postgresql:/u:hunter2@h/d", "hunter2@h", "postgresql //u:hunter2@h",
    ])
    func `shows no part of what may be a password`(text: String) throws {
        #expect(try !refusal(text).description.contains("hunter2"))
        #expect(
            try !refusal("postgresql://u:hunter2@h/a", "postgresql://u:hunter2@h/b").description.contains("hunter2"))
    }

    @Test func `combines a moment and a place in any order`() throws {
        for texts in [["latest", "/srv/pg"], ["/srv/pg", "latest"]] {
            let both = try RestoreTarget.combine(texts)
            #expect(both.moment == .latest)
            #expect(both.place == .directory("/srv/pg"))
        }
        let none = try RestoreTarget.combine([])
        #expect(none.moment == nil)
        #expect(none.place == nil)
    }

    @Test func `refuses two moments and two places`() throws {
        #expect(try refusal("latest", "0/1").message == "--to was given two moments.")
        #expect(try refusal("./a", "postgresql://h").message == "--to was given two places.")
    }

    private func refusal(_ texts: String...) throws -> BackupError {
        let error = try #require(throws: BackupError.self) { _ = try RestoreTarget.combine(texts) }
        #expect(error.code == .usage)
        return error
    }
}
