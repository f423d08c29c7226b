import BackupModel
import TestSupport
import Testing

@testable import ApexBackup

struct `The order of backups` {
    @Test func `is that of their recovery points within a second, whatever chance named them`() throws {
        let site = try PruneSite()
        let latest = try site.crafted.addBackup(age: .milliseconds(10_100), chance: 1)
        let first = try site.crafted.addBackup(age: .milliseconds(10_900), chance: 0xffff)
        let middle = try site.crafted.addBackup(age: .milliseconds(10_500), chance: 0x7fff)
        let older = try site.crafted.addBackup(age: .milliseconds(11_500), chance: 0xfffe)
        let catalogue = Catalogue(try site.repository())
        #expect(try catalogue.entries().map(\.id) == [older, first, middle, latest])
        #expect(try catalogue.newestBackup()?.id == latest)
        #expect(try catalogue.backup(named: "latest").id == latest)
    }
}
