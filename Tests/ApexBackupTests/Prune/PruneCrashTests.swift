import BackupModel
import BackupStorage
import FoundationEssentials
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `A prune that breaks off` {
    /// A repository in which everything is to be done: three backups expire, one with facts, one removal was begun
    /// before, and a run left something behind.
    private static func prepare() throws -> (site: PruneSite, kept: [RunID]) {
        let site = try PruneSite()
        let ids = try site.addBackups([30, 20, 10, 2, 1])
        try site.record(.verified, of: ids[20])
        try site.record(.hold, of: ids[20], reason: "for a time")
        try site.record(.release, of: ids[20])
        try site.record(.verified, of: ids[1])
        try site.record(.tombstone, of: ids[30], reason: "older than 5 days")
        try site.crafted.addLeftover(age: .seconds(7200), epoch: 1)
        return (site, [ids[2], ids[1]].compactMap(\.self))
    }

    private static let policy = RetentionPolicy(minimum: 1, days: 5)

    @Test(arguments: [FaultyStorage.Operation.remove, .publish, .read, .look])
    func `at any operation leaves only whole backups, and the next one completes it`(
        operation: FaultyStorage.Operation
    ) async throws {
        let (original, kept) = try Self.prepare()
        var number = 0
        while true {
            number += 1
            let copy = try TemporaryDirectory()
            let path = copy.path(of: "repository")
            try FileManager.default.copyItem(atPath: original.crafted.path, toPath: path)
            let faulty = FaultyStorage(PosixStorage(root: path), failing: operation, number: number)
            do {
                _ = try await prune(original, in: faulty).recorded()
            } catch let error as BackupError {
                #expect(error == FaultyStorage.fault)
            }
            let repository = try original.repository(PosixStorage(root: path))
            try await expectWholeBackups(in: repository, number)
            _ = try await prune(original, in: repository.storage).recorded()
            let entries = try Catalogue(repository).entries()
            #expect(entries.filter { $0.manifest != nil }.map(\.id) == kept, "\(operation) \(number)")
            #expect(
                entries.count == kept.count + 1, "\(operation) \(number): more than the mark of the dead run is left")
            #expect(try hiddenFiles(in: path).isEmpty)
            guard faulty.hasFailed else { break }
        }
        #expect(number > 3)
    }

    private func prune(_ site: PruneSite, in storage: any Storage) throws -> RepositoryPrune {
        // Opened first, so that what fails is the prune's own.
        let opened = try site.repository()
        let repository = Repository(
            storage: storage, layout: opened.layout, marker: opened.marker, environment: opened.environment)
        return RepositoryPrune(repository: repository, policy: Self.policy, trustsClock: false)
    }

    private func expectWholeBackups(in repository: Repository, _ number: Int) async throws {
        for backup in try Catalogue(repository).backups() {
            for artefact in backup.manifest?.artefacts ?? [] {
                let stored = StoredArtefact(artefact, of: backup.id, in: repository)
                #expect(throws: Never.self, "\(backup.id) after fault \(number)") {
                    try stored.readContent(into: DiscardSink())
                }
            }
        }
    }

    private func hiddenFiles(in path: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path).filter { $0.contains("/.") }
    }
}
