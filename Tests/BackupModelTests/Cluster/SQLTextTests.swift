import Testing

@testable import BackupModel

@Suite struct `A name or value in SQL` {
    @Test func `means itself, whatever quotes it holds`() {
        #expect(quoteIdentifier("Main table") == "\"Main table\"")
        #expect(quoteIdentifier("a\"b'c") == "\"a\"\"b'c\"")
        #expect(quoteLiteral("it's \"so\"") == "'it''s \"so\"'")
    }

    @Test func `means itself, whatever standard_conforming_strings is`() {
        #expect(quoteLiteral("a\\b'c") == "E'a\\\\b''c'")
    }
}
