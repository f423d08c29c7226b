import Testing

@testable import BackupModel

@Suite struct `The kind of backup that tables come from` {
    private static let noon = Timestamp(microseconds: 1_737_979_200_000_000)

    private func source(
        named: BackupKind? = nil, _ moment: RestoreMoment?, nearest: Bool = false, dumps: [Timestamp] = [noon],
        hasPhysical: Bool = true
    ) -> TableSource {
        TableSource(
            named: named, moment: moment, acceptsNearest: nearest, dumps: dumps, hasPhysical: hasPhysical)
    }

    @Test func `is that of the backup that is named, whatever the moment is`() {
        #expect(source(named: .physical, nil) == .cluster)
        #expect(source(named: .physical, .time(Self.noon), nearest: true) == .cluster)
        #expect(source(named: .logical, .latest) == .dump)
    }

    @Test func `is a dump without a moment, and a physical one with any`() {
        #expect(source(nil) == .dump)
        let moments: [RestoreMoment] = [
            .latest, .immediate, .transaction(700), .restorePoint("x"),
            .position(LogSequenceNumber(position: 1)), .time(Self.noon),
        ]
        for moment in moments {
            #expect(source(moment) == .cluster)
            #expect(source(moment, hasPhysical: false) == .dump)
        }
    }

    @Test func `may be a dump from before the moment where the nearest one will do`() {
        let (before, after) = (Self.noon.advanced(by: .seconds(-1)), Self.noon.advanced(by: .seconds(1)))
        #expect(source(.time(after), nearest: true) == .clusterIfReached)
        #expect(source(.time(Self.noon), nearest: true) == .clusterIfReached)
        #expect(source(.time(before), nearest: true) == .cluster, "no dump is from before it")
        #expect(source(.latest, nearest: true) == .cluster, "the end of what is stored is never given up")
    }
}

@Suite struct `The schema of restored tables` {
    private static let moment = Timestamp(
        Timestamp.Parts(year: 2025, month: 1, day: 27, hour: 14, minute: 30, microsecond: 999_999))

    @Test func `is called after the moment, with a number if that is taken`() {
        let name = RestoredSchema.name(at: Self.moment)
        #expect(name == "restored_20250127t143000z")
        #expect(RestoredSchema.free(name, besides: ["public", "restored_20250127t143001z"]) == name)
        #expect(RestoredSchema.free(name, besides: [name]) == "\(name)_2")
        #expect(RestoredSchema.free(name, besides: [name, "\(name)_2", "\(name)_4"]) == "\(name)_3")
    }

    @Test func `has each name once, and the first one as it was`() {
        #expect(RestoredSchema.distinct(["a", "b", "a", "a_2", "a"]) == ["a", "b", "a_3", "a_2", "a_4"])
        let longest = String(repeating: "n", count: 61) + "\u{E9}"
        #expect(RestoredSchema.distinct([longest, longest]) == [longest, String(repeating: "n", count: 61) + "_2"])
    }

    @Test func `tells the time that was asked for, or that of the last transaction`() {
        let times = (1...4).map { Timestamp(microseconds: Int64($0)) }
        func moment(_ asked: RestoreMoment?, isNearest: Bool = false, last: Timestamp?, end: Timestamp?) -> Timestamp {
            RestoredSchema.moment(asked: asked, isNearest: isNearest, last: last, end: end, backup: times[3])
        }
        #expect(moment(.time(times[0]), last: times[1], end: times[2]) == times[0])
        #expect(moment(.time(times[0]), isNearest: true, last: times[1], end: times[2]) == times[1])
        for asked in [RestoreMoment.latest, .restorePoint("x"), nil] {
            #expect(moment(asked, last: times[1], end: times[2]) == times[1])
        }
        #expect(moment(.latest, last: nil, end: times[2]) == times[2])
        #expect(moment(.immediate, last: nil, end: nil) == times[3])
    }
}

@Suite struct `The database that tables are taken from` {
    @Test func `is the one that is named, that of the same name, or the only one`() throws {
        #expect(try RecoveredDatabase.choose(among: ["a", "b"], wanted: "b", target: "a") == "b")
        #expect(try RecoveredDatabase.choose(among: ["a", "b"], wanted: nil, target: "a") == "a")
        #expect(try RecoveredDatabase.choose(among: ["a", "postgres"], wanted: nil, target: "x") == "a")
        #expect(try RecoveredDatabase.choose(among: ["postgres"], wanted: nil, target: "x") == "postgres")
    }

    @Test func `is asked for where it is not clear`() {
        let unclear = #expect(throws: BackupError.self) {
            try RecoveredDatabase.choose(among: ["a", "b"], wanted: nil, target: "x")
        }
        #expect(unclear?.code == .usage && unclear?.remedy.contains("--database") == true)
        #expect(unclear?.reason?.contains("'a', 'b'") == true)
        let missing = #expect(throws: BackupError.self) {
            try RecoveredDatabase.choose(among: ["a"], wanted: "x", target: "a")
        }
        #expect(missing?.code == .usage && missing?.message.contains("'x'") == true)
    }
}
