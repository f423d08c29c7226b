import FoundationEssentials
import Testing

@testable import BackupModel

@Suite struct `Comparing answers with expectations` {
    private static let kept: [(BackupModel.Expectation, String?)] = [
        (.equal(.number("0")), "0"), (.equal(.number("1.0")), "1"), (.equal(.number("1e3")), "1000"),
        (.equal(.number("12345678901234567890.10")), "12345678901234567890.1"), (.equal(.text("007")), "007"),
        (.equal(.boolean(true)), "t"), (.equal(.boolean(false)), "false"), (.equal(.null), nil),
        (.different(.number("0")), "1"), (.different(.null), "0"), (.different(.text("a")), "b"),
        (.less(.number("10")), "9"), (.atMost(.number("10")), "10"), (.greater(.number("-2")), "-1"),
        (.greater(.number("9")), "10"), (.atLeast(.number("0.1")), "0.10"),
        (.between(.number("1"), .number("9")), "1"), (.between(.number("1"), .number("9")), "9"),
        (.oneOf([.text("a"), .number("2"), .null]), "2.0"), (.oneOf([.text("a"), .null]), nil),
        (.status(200), "200"), (.exit(0), "0"),
        (.greater(.text("a")), "b"),
    ]

    @Test(arguments: kept)
    func `holds`(expectation: BackupModel.Expectation, got: String?) {
        #expect(expectation.holds(for: got) == .passed)
    }

    private static let broken: [(BackupModel.Expectation, String?)] = [
        (.equal(.number("0")), "1"), (.equal(.number("0")), nil), (.equal(.text("007")), "7"),
        (.equal(.number("12345678901234567890")), "12345678901234567891"), (.equal(.boolean(true)), "f"),
        (.equal(.boolean(true)), nil), (.equal(.null), ""), (.different(.number("1")), "1.00"),
        (.different(.number("1")), nil),
        (.different(.null), nil), (.less(.number("10")), "10"), (.less(.number("10")), nil),
        (.atMost(.number("9")), "10"),
        (.greater(.number("9")), "9"), (.atLeast(.number("0")), "-0.1"), (.between(.number("1"), .number("9")), "0"),
        (.between(.number("1"), .number("9")), "10"), (.between(.number("1"), .number("9")), nil),
        (.oneOf([.text("a")]), "A"), (.matches("b"), nil), (.status(200), "503"),
        (.exit(0), "1"),
        (.greater(.number("5")), ""),
    ]

    @Test(arguments: broken)
    func `does not hold`(expectation: BackupModel.Expectation, got: String?) {
        #expect(expectation.holds(for: got).verdict == .fail)
        #expect(expectation.holds(for: got).reason?.contains(expectation.description) == true)
    }

    @Test func `says what was got and what was expected`() {
        #expect(BackupModel.Expectation.equal(.number("0")).holds(for: "3").reason == "got 3, expected = 0")
        #expect(BackupModel.Expectation.equal(.number("0")).holds(for: nil).reason == "the value is NULL; expected = 0")
    }

    @Test func `wants one row of one column`() {
        let zero = BackupModel.Expectation.equal(.number("0"))
        #expect(zero.holds(forRows: [["0"]]) == .passed)
        #expect(zero.holds(forRows: []).reason == "the statement returned no row")
        #expect(zero.holds(forRows: [["0"], ["0"]]).reason?.contains("2 rows") == true)
        #expect(zero.holds(forRows: [["0", "0"]]).reason?.contains("2 columns") == true)
        #expect(zero.holds(forRows: [[]]).reason?.contains("0 columns") == true)
        #expect(zero.holds(forRows: [[nil]]).verdict == .fail)
    }

    @Test func `leaves the manifest and patterns to the check that asks for them`() {
        #expect(BackupModel.Expectation.asInManifest.holds(for: "1").verdict == .notVerified)
        #expect(BackupModel.Expectation.matches("1").holds(for: "1").verdict == .notVerified)
        #expect(BackupModel.Expectation.matches("b").meets(true, "abc") == .passed)
        #expect(BackupModel.Expectation.matches("b").meets(false, "ac").reason == "got 'ac', expected matches 'b'")
    }

    private static let written: [(BackupModel.Expectation, String)] = [
        (.equal(.number("18234")), #"{"eq":18234}"#), (.equal(.text("18234")), #"{"eq":"18234"}"#),
        (.equal(.number("1.5")), #"{"eq":1.5}"#), (.equal(.null), #"{"eq":null}"#),
        (.different(.boolean(true)), #"{"ne":true}"#),
        (.equal(.number("12345678901234567890123")), #"{"eq":"12345678901234567890123"}"#),
        (.less(.number("1")), #"{"lt":1}"#), (.atMost(.number("1")), #"{"le":1}"#),
        (.greater(.number("1")), #"{"gt":1}"#),
        (.atLeast(.number("1")), #"{"ge":1}"#), (.between(.number("1"), .number("9")), #"{"between":[1,9]}"#),
        (.oneOf([.text("a"), .number("2")]), #"{"in":["a",2]}"#), (.matches("^a"), #"{"matches":"^a"}"#),
        (.asInManifest, #"{"vs":"manifest"}"#), (.status(200), #"{"status":200}"#), (.exit(0), #"{"exit":0}"#),
    ]

    @Test(arguments: written)
    func `is written to JSON as in a policy, with numbers as numbers where no digit is lost`(
        expectation: BackupModel.Expectation, json: String
    ) throws {
        let data = try JSONEncoder().encode(expectation)
        #expect(String(decoding: data, as: UTF8.self) == json)
        let read = try JSONDecoder().decode(BackupModel.Expectation.self, from: data)
        #expect(try JSONEncoder().encode(read) == data)
    }

    @Test func `orders decimal numbers exactly`() throws {
        let ascending = [
            "-1e3", "-10.5", "-10", "-0.001", "0", "1e-9999", "0.001", "0.01", "1", "9.99", "10",
            "99999999999999999998",
            "99999999999999999999", "1e20", "1.5e20",
        ].map(DecimalText.init)
        for (left, right) in zip(ascending, ascending.dropFirst()) {
            let (left, right) = (try #require(left), try #require(right))
            #expect(left < right && !(right < left) && left != right)
        }
        #expect(DecimalText("-0") == DecimalText("+0.00"))
        #expect(DecimalText("100") == DecimalText("1e2"))
        for text in ["", "-", ".5", "1.", "1e", "0x1", "1 ", "NaN", "Infinity", "1e99999", "1.2.3", "١"] {
            #expect(DecimalText(text) == nil, "\(text)")
        }
    }
}
