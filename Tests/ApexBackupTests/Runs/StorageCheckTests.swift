import BackupModel
import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `Trying out the storage of a repository` {
    private let directory: TemporaryDirectory
    private let repository: Repository

    init() throws {
        directory = try TemporaryDirectory()
        repository = try CraftedRepository(at: directory.path(of: "repository")).open()
    }

    /// What somebody has left who was killed so long ago while trying.
    private func leave(age: Duration) throws -> ObjectKey {
        let id = RunID(at: repository.environment.clocks.wall().advanced(by: .zero - age), chance: 7)
        let key = ObjectKey("check", id.text, "7", "left")
        _ = try repository.storage.putIfAbsent(key, [1])
        return key
    }

    @Test func `finds nothing wrong with a directory, and leaves nothing but what another one may be trying`() throws {
        let old = try leave(age: .seconds(100_000))
        let recent = try leave(age: .seconds(1000))
        let before = try directory.contents().filter { !$0.contains("/check") }
        #expect(try repository.storageViolations() == [])
        #expect(try repository.storage.info(old) == nil)
        #expect(try repository.storage.info(recent) != nil)
        #expect(try repository.storage.children(of: ObjectKey("check")).count == 1)
        #expect(try directory.contents().filter { !$0.contains("/check") } == before)
    }

    @Test func `says why when nothing can be written there`() throws {
        let denied = BackupError(.permissionDenied, "It may not.", remedy: "Let it.")
        let storage = FaultyStorage(repository.storage, failing: .publish, with: denied)
        let reader = Repository(
            storage: storage, layout: repository.layout, marker: repository.marker, environment: repository.environment)
        let error = #expect(throws: BackupError.self) { try reader.storageViolations() }
        #expect(error?.code == .permissionDenied)
    }
}
