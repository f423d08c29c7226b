import Testing

@testable import BackupModel

@Suite struct `Finding the name that was meant` {
    @Test(
        arguments: [
            ("retenton", "retention"), ("retetnion", "retention"), ("rettention", "retention"),
            ("retantion", "retention"),
            ("dayz", "days"), ("dasy", "days"), ("day", "days"), ("days", "days"), ("d", nil), ("", nil),
            ("weekend", nil),
            ("résto", nil), ("retntino", "retention"),
        ] as [(String, String?)])
    func `forgives one slip for every three letters`(typed: String, meant: String?) {
        #expect(nearest(to: typed, among: ["retention", "days", "weekly"]) == meant)
    }

    @Test func `prefers the nearest, then the first`() {
        #expect(nearest(to: "abcdef", among: ["abcdxx", "abcdxf", "abcdez"]) == "abcdxf")
        #expect(nearest(to: "a", among: []) == nil)
        #expect(nearest(to: "a", among: ["", "b"]) == "")
    }
}
