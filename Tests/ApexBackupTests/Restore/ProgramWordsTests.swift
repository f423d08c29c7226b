import Testing

@testable import ApexBackup

@Suite struct `The words of pg_restore and psql` {
    @Test func `are told without the statements that they quote`() {
        let words = """
            pg_restore: while PROCESSING TOC:
            pg_restore: error: could not execute query: ERROR:  role "bob" does not exist
            Command was: CREATE USER MAPPING FOR bob SERVER far OPTIONS (
                password 'hunter2'
            );
            pg_restore: warning: errors ignored on restore: 1
            """
        #expect(
            withoutStatements(words) == """
                pg_restore: while PROCESSING TOC:
                pg_restore: error: could not execute query: ERROR:  role "bob" does not exist
                pg_restore: warning: errors ignored on restore: 1
                """)
        let line = "psql:<stdin>:7: ERROR:  syntax error\nLINE 1: CREATE ROLE x PASSWORD 'hunter2'\n        ^"
        #expect(withoutStatements(line) == "psql:<stdin>:7: ERROR:  syntax error")
    }
}
