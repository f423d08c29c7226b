import BackupModel
import Dispatch
import Glibc
import TestSupport
import Testing

@testable import BackupStorage

@Suite(.timeLimit(.minutes(30))) struct `Keeping the contract of a storage` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `a directory keeps every promise`() throws {
        let storage = PosixStorage(root: directory.path)
        #expect(storageContractViolations(storage, under: ObjectKey("contract/suite")) == [])
        #expect(try directory.contents() == [])
    }

    @Test func `a storage that could fail keeps every promise until it does`() throws {
        let storage = FaultyStorage(PosixStorage(root: directory.path), failing: .publish, number: .max)
        #expect(storageContractViolations(storage, under: ObjectKey("contract")) == [])
    }

    @Test func `a storage that counts its calls keeps every promise`() throws {
        let storage = CountingStorage(PosixStorage(root: directory.path))
        #expect(storageContractViolations(storage, under: ObjectKey("contract")) == [])
    }

    @Test(arguments: FaultyStorage.Operation.allCases, [1, 3])
    func `a storage that fails is found out`(operation: FaultyStorage.Operation, number: Int) throws {
        let storage = FaultyStorage(PosixStorage(root: directory.path), failing: operation, number: number)
        #expect(storageContractViolations(storage, under: ObjectKey("contract")).count >= 1)
    }

    @Test func `a storage that overwrites, invents or mixes up objects is found out`() throws {
        for fault in CarelessStorage.Fault.allCases {
            let storage = CarelessStorage(PosixStorage(root: directory.path), fault)
            #expect(storageContractViolations(storage, under: ObjectKey("contract")).count >= 1, "\(fault)")
            run("rm -rf \(directory.path(of: "contract"))")
        }
    }
}

@Suite(.timeLimit(.minutes(30))) struct `Storing objects in a directory` {
    private let directory: TemporaryDirectory
    private let storage: PosixStorage
    private let key = ObjectKey("clusters/apex/object")

    init() throws {
        directory = try TemporaryDirectory()
        storage = PosixStorage(root: directory.path(of: "repository"))
        try storage.makeRoot()
    }

    /// The error code of every operation on `storage`.
    private func everyCode(_ storage: PosixStorage) -> [ErrorCode?] {
        [
            errorCode { () throws(BackupError) in _ = try storage.info(key) },
            errorCode { () throws(BackupError) in try storage.read(key, into: DiscardSink()) },
            errorCode { () throws(BackupError) in _ = try storage.readAll(key, limit: 10) },
            errorCode { () throws(BackupError) in try storage.list(under: ObjectKey("clusters")) { _ in } },
            errorCode { () throws(BackupError) in _ = try storage.children(of: nil) },
            errorCode { () throws(BackupError) in _ = try storage.putIfAbsent(key, [1]) },
            errorCode { () throws(BackupError) in _ = try storage.makeWriter(key) },
            errorCode { () throws(BackupError) in try storage.remove(key) },
            errorCode { () throws(BackupError) in _ = try storage.freeBytes() },
        ]
    }

    @Test func `makes its root with all folders above it, as often as asked`() throws {
        let deep = PosixStorage(root: directory.path(of: "a/b/c/"))
        try deep.makeRoot()
        try deep.makeRoot()
        #expect(try deep.putIfAbsent(key, [1]) == .stored)
        #expect(deep.location == directory.path(of: "a/b/c"))
        #expect(try #require(try deep.freeBytes()) > 0)
    }

    @Test func `lets nobody but its owner read`() throws {
        _ = try storage.putIfAbsent(key, [1])
        let root = directory.path(of: "repository")
        run("test $(stat -c %a \(root)) = 700 && test $(stat -c %a \(root)/clusters/apex) = 700")
        run("test $(stat -c %a \(root)/\(key)) = 600")
    }

    @Test(.enabled(if: geteuid() == 0)) func `leaves what root makes to the owner of the repository`() throws {
        let root = directory.path(of: "repository")
        run("chown 65534:65533 \(root)")
        _ = try storage.putIfAbsent(key, [1])
        run("test $(find \(root) -uid 65534 -gid 65533 | wc -l) = $(find \(root) | wc -l)")
        run("test -f \(root)/\(key)")
    }

    @Test func `says that the repository is missing, never that objects are`() throws {
        let missing = PosixStorage(root: directory.path(of: "missing"))
        #expect(everyCode(missing).allSatisfy { $0 == .repositoryMissing })
        try directory.write([1], to: "file")
        let file = PosixStorage(root: directory.path(of: "file"))
        #expect(everyCode(file).allSatisfy { $0 == .repositoryMissing })
    }

    @Test func `notices that another file system was mounted over it`() throws {
        _ = try storage.putIfAbsent(key, [1])
        withFileSystem("size=1m", at: directory.path(of: "repository")) {
            #expect(everyCode(storage).allSatisfy { $0 == .repositoryUnavailable })
        }
        #expect(try storage.info(key) != nil)
    }

    @Test func `leaves nothing behind when the disk is full`() throws {
        withFileSystem("size=1m", at: directory.path(of: "repository")) {
            let storage = PosixStorage(root: directory.path(of: "repository"))
            do {
                let writer = try storage.makeWriter(key)
                let code = errorCode { () throws(BackupError) in
                    for _ in 0..<32 { try writer.write([UInt8](repeating: 1, count: 64 << 10).span) }
                    try writer.finish()
                }
                #expect(code == .repositoryFull)
                #expect(try storage.children(of: nil) == [])
            } catch { Issue.record(error) }
            do {
                #expect(try storage.temporaryFiles() == [])
                let large = [UInt8](repeating: 1, count: 2 << 20)
                let code = errorCode { () throws(BackupError) in _ = try storage.putIfAbsent(key, large) }
                #expect(code == .repositoryFull)
                #expect(try storage.temporaryFiles() == [])
                #expect(try storage.info(key) == nil)
                #expect(try storage.putIfAbsent(key, [1, 2, 3]) == .stored)
            } catch { Issue.record(error) }
        }
    }

    @Test func `takes the space of what is discarded back at once, whoever has it open`() throws {
        withFileSystem("size=1m", at: directory.path(of: "repository")) {
            let storage = PosixStorage(root: directory.path(of: "repository"))
            do {
                let before = try storage.freeBytes()
                let writer = try storage.makeWriter(key)
                try writer.write([UInt8](repeating: 1, count: 512 << 10).span)
                let file = try #require(try storage.temporaryFiles().first)
                let reader = try OpenFile(reading: directory.path(of: "repository/\(file)"))
                writer.discard()
                #expect(try storage.freeBytes() == before)
                #expect(try reader.size() == 0)
            } catch { Issue.record(error) }
        }
    }

    @Test func `reads from a read-only file system and says why it cannot write`() throws {
        withFileSystem("size=1m", at: directory.path(of: "repository")) {
            let storage = PosixStorage(root: directory.path(of: "repository"))
            do {
                _ = try storage.putIfAbsent(key, [1])
                // A child of another test that is just being started has for a moment open for writing what this one had.
                let remount = "mount -o remount,ro \(directory.path(of: "repository"))"
                run("for n in $(seq 600); do \(remount) 2>/dev/null && exit; sleep 0.1; done; \(remount)")
                #expect(try storage.readAll(key, limit: 1) == [1])
                let other = ObjectKey("clusters/apex/other")
                let put = errorCode { () throws(BackupError) in _ = try storage.putIfAbsent(other, [1]) }
                let removal = errorCode { () throws(BackupError) in try storage.remove(key) }
                #expect(put == .permissionDenied && removal == .permissionDenied)
            } catch { Issue.record(error) }
        }
    }

    @Test func `never follows a symbolic link, and never takes what is behind it for absent`() throws {
        try directory.write([42], to: "outside/apex/object")
        let root = directory.path(of: "repository")
        run("ln -s \(directory.path(of: "outside")) \(root)/clusters")
        let codes = everyCode(storage).dropLast()
        #expect(codes.allSatisfy { $0 == .storageFailed })
        run("rm \(root)/clusters && mkdir -p \(root)/clusters/apex")
        run("ln -s \(directory.path(of: "outside/apex/object")) \(root)/\(key)")
        #expect(errorCode { () throws(BackupError) in _ = try storage.info(key) } == .storageFailed)
        #expect(errorCode { () throws(BackupError) in _ = try storage.readAll(key, limit: 9) } == .storageFailed)
        #expect(try storage.putIfAbsent(key, [1]) == .present)
        run("rm \(root)/\(key) && mkfifo \(root)/\(key)")
        #expect(errorCode { () throws(BackupError) in _ = try storage.readAll(key, limit: 9) } == .storageFailed)
        #expect(try directory.read("outside/apex/object") == [42])
    }

    @Test func `leaves names that begin with a dot to the file system`() throws {
        try directory.write([1], to: "repository/clusters/.nfs01")
        try directory.write([1], to: "repository/.snapshot/old/object")
        try directory.write([1], to: "repository/lost+found/object")
        #expect(try storage.children(of: nil) == [])
        #expect(try storage.info(ObjectKey("clusters/.nfs01")) == nil)
        #expect(errorCode { () throws(BackupError) in _ = try storage.makeWriter(ObjectKey(".a/b")) } == .usage)
    }

    @Test func `says why an object cannot have a folder's place, or a folder an object's`() throws {
        _ = try storage.putIfAbsent(key, [1])
        let below = key.appending("below")
        #expect(errorCode { () throws(BackupError) in _ = try storage.makeWriter(below) } == .storageFailed)
        let folder = ObjectKey("clusters/apex")
        #expect(try storage.putIfAbsent(folder, [1]) == .present)
        #expect(try storage.readAll(key, limit: 1) == [1])
        #expect(try storage.temporaryFiles() == [])
    }

    @Test func `finds and removes what a killed writer left, and shows it to nobody`() throws {
        _ = try storage.putIfAbsent(key, [1])
        try directory.write([1, 2], to: "repository/clusters/apex/runs/1/.tmp-00ff")
        try directory.write([1, 2], to: "repository/clusters/apex/.tmp-00ff")
        try directory.write([1, 2], to: "repository/clusters/other/.tmp-00ff")
        var keys: [ObjectKey] = []
        try storage.list(under: ObjectKey("clusters")) { keys.append($0.key) }
        #expect(keys == [key])
        #expect(try storage.children(of: ObjectKey("clusters")) == ["apex"])
        #expect(try storage.children(of: ObjectKey("clusters/apex")) == ["object"])
        let left = ["clusters/apex/.tmp-00ff", "clusters/apex/runs/1/.tmp-00ff", "clusters/other/.tmp-00ff"]
        #expect(try storage.temporaryFiles().map(\.text) == left)
        let below = try storage.unfinishedWrites(under: ObjectKey("clusters"))
        #expect(below.map(\.key.text) == left && below.allSatisfy { $0.size == 2 })
        #expect(try storage.unfinishedWrites(in: ObjectKey("clusters/apex")).map(\.key.text) == [left[0]])
        try storage.removeTemporaryFiles(storage.temporaryFiles(under: ObjectKey("clusters/apex")))
        #expect(try storage.temporaryFiles().map(\.text) == ["clusters/other/.tmp-00ff"])
        #expect(try !directory.contents().contains("repository/clusters/apex/runs"))
        #expect(try storage.readAll(key, limit: 1) == [1])
    }

    @Test func `tells whether who writes what is unfinished lives, is gone, or cannot be known`() throws {
        let folder = ObjectKey("clusters/apex")
        func found() throws -> [UnfinishedWrite] { try storage.unfinishedWrites(in: folder) }
        #expect(try found().isEmpty)
        let writer = try storage.makeWriter(key)
        try writer.write([1, 2, 3].span)
        let alive = try #require(try found().first)
        #expect(alive.writer == .alive && alive.size == 3 && !alive.isStreamed)
        let name = String(alive.key.lastComponent)
        // The same name, as a writer on this host would have had it, with nobody behind it.
        let place = try #require(name.split(separator: "-").last)
        try directory.write([1, 2], to: "repository/\(folder)/.tmp-0-\(place)")
        try directory.write([1], to: "repository/\(folder)/.tmp-0-\(String(place.reversed()))")
        try directory.write([], to: "repository/\(folder)/.tmp-00ff")
        try directory.write([1], to: "repository/\(folder)/below/.tmp-00ff")
        let others = try found().filter { $0 != alive }
        #expect(others.map(\.writer).filter { $0 == .gone }.count == 1 && others.count == 3)
        #expect(others.first { $0.writer == .gone }?.size == 2)
        let changedAt = try #require(alive.changedAt)
        let age = Timestamp(microseconds: Int64(time(nil)) * 1_000_000).since(changedAt)
        #expect(age < .seconds(3600) && age > .seconds(-3600))
        try writer.finish()
        #expect(try !found().contains { $0.writer == .alive })
    }

    @Test func `tells what its source is still writing from what is being stored`() throws {
        let folder = ObjectKey("clusters/apex")
        let writer = try storage.makeStreamWriter(key)
        try writer.write([1, 2, 3].span)
        #expect(try storage.unfinishedWrites(in: folder).map(\.isStreamed) == [true])
        #expect(try storage.unfinishedWrites(in: folder).map(\.writer) == [.alive])
        _ = try storage.putIfAbsent(key, [9])
        // It is complete when its name turns out to be taken.
        #expect(errorCode { () throws(BackupError) in try writer.finish() } == .objectExists)
        #expect(try storage.unfinishedWrites(in: folder).map(\.isStreamed) == [false])
        writer.discard()
        #expect(try storage.unfinishedWrites(in: folder).isEmpty)
    }

    @Test func `publishes by a rename that refuses to replace where there are no hard links`() throws {
        try directory.write([1], to: "folder/new")
        try directory.write([2], to: "folder/taken")
        guard let folder = try OpenDirectory(path: directory.path(of: "folder")) else {
            Issue.record("the folder cannot be opened")
            return
        }
        #expect(try folder.rename("new", to: "taken") == .taken)
        #expect(try folder.rename("new", to: "final") == .done)
        #expect(try folder.link("final", as: "taken") == .taken)
        #expect(try directory.contents().filter { $0.hasPrefix("folder/") } == ["folder/final", "folder/taken"])
        #expect(try directory.read("folder/taken") == [2])
    }

    @Test func `stores while another removes the last object of the same folder`() throws {
        let storage = storage
        let failures = Failures()
        DispatchQueue.concurrentPerform(iterations: 2) { worker in
            do throws(BackupError) {
                for number in 0..<200 {
                    let key = ObjectKey("clusters/apex/\(worker)-\(number)")
                    _ = try storage.putIfAbsent(key, [1])
                    if try storage.readAll(key, limit: 1) != [1] { failures.add("\(key) is lost") }
                    try storage.remove(key)
                }
            } catch { failures.add(error.description) }
        }
        #expect(failures.texts == [])
        #expect(try storage.children(of: nil) == [])
    }
}

/// Runs `body` with a file system in memory mounted at `path`.
private func withFileSystem(_ options: String, at path: String, _ body: () -> Void) {
    run("mount -t tmpfs -o \(options) tmpfs \(path)")
    defer { run("umount -l \(path)") }
    body()
}
