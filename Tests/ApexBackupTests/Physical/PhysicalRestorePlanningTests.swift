import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// Plans over an archive that no server wrote.
@Suite struct `The plan of a physical restore` {
    @Test func `passes over a backup that verification found damaged, until it is proved or named`() throws {
        let archive = try CraftedArchive()
        try archive.store(4...15)
        let older = try archive.addBackup(inSegment: 4)
        let newer = try archive.addBackup(inSegment: 13)
        func plan(_ backup: String = "latest") throws -> PhysicalRestorePlan {
            let request = PhysicalRestore.Request(
                backup: backup, moment: .latest, directory: archive.site.directory.path(of: "restored"),
                archive: WALCommands(executable: "/bin/false", options: []))
            return try PhysicalRestorePlanning(repository: archive.site.repository(), request: request).prepare().plan
        }
        #expect(try plan().backup == newer)
        try archive.site.record(.verified, of: newer, succeeded: false)
        #expect(try plan().backup == older)
        let named = try plan(newer.text)
        #expect(named.backup == newer && named.warnings.contains { $0.contains("found this backup damaged") })
        try archive.site.record(.verified, of: newer)
        #expect(try plan().backup == newer)
    }
}
