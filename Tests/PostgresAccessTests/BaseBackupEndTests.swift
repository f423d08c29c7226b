import BackupModel
import Testing

@testable import PostgresAccess

@Suite struct `The end of a base backup` {
    private static let rows: CommandRows = [[["0/3000100", "1"]]]

    private func end(_ after: CommandRows = rows, _ failure: ServerError? = nil) throws(BackupError) -> BaseBackupEnd {
        let settings = try ConnectionSettings(parsing: "postgresql://u@h/d")
        return try ReplicationSession.end(after, failure, notices: [], settings)
    }

    @Test func `is its position and timeline`() throws {
        let end = try end()
        #expect(end.lsn == LogSequenceNumber(position: 0x300_0100) && end.timeline == 1 && end.damage == nil)
    }

    @Test func `is one of a damaged source for the SQLSTATE of bad pages alone, whatever its text is`() throws {
        let damage = ServerError(sqlstate: "XX001", message: "Prüfsummenfehler", function: "perform_base_backup")
        #expect(try end(Self.rows, damage).damage == damage)
        for sqlstate in ["XX000", "XX002", "58P01", "53100", "55000"] {
            let other = ServerError(sqlstate: sqlstate, message: "checksum verification failure during base backup")
            let error = #expect(throws: BackupError.self) { try end(Self.rows, other) }
            #expect(error?.sqlstate == sqlstate)
        }
    }

    @Test(arguments: [[], [[]], [[["0/3000100"]]], [[["0/3000100", nil]]], [[["x", "1"]]]] as [CommandRows])
    func `is none without its position, also where pages are bad`(after: CommandRows) {
        #expect(throws: BackupError.self) { try end(after) }
        #expect(throws: BackupError.self) {
            try end(after, ServerError(sqlstate: "XX001", message: "checksum verification failure"))
        }
    }
}
