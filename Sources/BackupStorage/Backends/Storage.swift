package import BackupModel

/// One object of a repository, as a listing shows it.
package struct ObjectInfo: Sendable, Hashable {
    package let key: ObjectKey
    /// The size of the stored object.
    package let size: Int64

    package init(key: ObjectKey, size: Int64) {
        self.key = key
        self.size = size
    }
}

/// What became of a put-if-absent.
package enum PutOutcome: Sendable, Hashable {
    /// The object was not there and now is, with the given bytes.
    case stored
    /// The name was taken; what is there was not touched.
    case present
}

/// A place that keeps named objects, none of which ever changes.
///
/// Every implementation promises:
/// - **Atomic:** an object is either absent or whole, even after a crash while it is written. Of several writers of one
///   name exactly one succeeds, and the others are told so.
/// - **Durable:** when `finish`, `putIfAbsent` or `remove` returns, what it did survives loss of power; so does an object
///   of which they say that it was there already, or that `makeDurable` was asked for.
/// - **Read after write:** a published object is visible to `info`, `list`, `children` and every way to read,
///   everywhere.
/// - **Idempotent removal:** removing an object that is not there succeeds.
/// - **Unknown is never reported as missing:** `nil`, an empty listing and ``ErrorCode/objectMissing`` mean that the
///   object is certainly absent; whatever else went wrong is another error.
///
/// All calls block, and may be made from any thread. `storageContractViolations` checks these promises.
package protocol Storage: Sendable {
    /// Where the objects are, for people.
    var location: String { get }

    /// Describes the object at `key`, or returns `nil` if there is certainly none.
    func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo?

    /// Writes all bytes of the object to `sink`, which it does not finish.
    ///
    /// - Throws: ``ErrorCode/objectMissing`` if there is certainly no such object.
    func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError)

    /// `count` bytes of the object from `offset` on.
    ///
    /// - Throws: ``ErrorCode/objectMissing`` if there is certainly no such object, ``ErrorCode/objectDamaged`` if it ends
    ///   before that.
    func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8]

    /// All bytes of a small object, or `nil` if there is certainly none.
    ///
    /// - Throws: ``ErrorCode/objectDamaged`` if it is larger than `limit`.
    func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]?

    /// Calls `body` with every object below the folder `prefix`, sorted by key; folders are not objects.
    func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError)

    /// The names directly below the folder `prefix`, or at the top: objects, and folders that hold objects; sorted.
    func children(of prefix: ObjectKey?) throws(BackupError) -> [String]

    /// Publishes `bytes` as the object at `key` unless the name is taken.
    func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome

    /// Begins to write an object that will be published at `key` when its writer is finished.
    func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter

    /// The same for content that its source is still writing: until it is finished, ``unfinishedWrites(in:)`` says so.
    func makeStreamWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter

    /// Returns when the objects, and their names, survive loss of power, whoever published them; those that are not there
    /// are passed over.
    ///
    /// An object is visible before its writer has made that sure, and the writer may have died just then.
    func makeDurable(_ keys: [ObjectKey]) throws(BackupError)

    /// Removes the objects, in no certain order, and the folders that become empty; they need not be there.
    func remove(_ keys: [ObjectKey]) throws(BackupError)

    /// Removes the folders below `prefix` that hold nothing, where there are such; others may write there meanwhile.
    func removeEmptyFolders(under prefix: ObjectKey) throws(BackupError)

    /// What writers have begun below the folder `prefix`, or anywhere, and not finished: living ones, and dead ones.
    func temporaryFiles(under prefix: ObjectKey?) throws(BackupError) -> [ObjectKey]

    /// What writers have begun directly in `folder` and not finished, and what is known of them.
    func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite]

    /// The same in all folders below `prefix`, that one included; sorted.
    func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite]

    /// Removes `files`, which ``temporaryFiles(under:)`` found; only those that nobody writes any more who may still
    /// succeed.
    func removeTemporaryFiles(_ files: [ObjectKey]) throws(BackupError)

    /// How much can still be stored, where that is known.
    func freeBytes() throws(BackupError) -> Int64?

    /// The memory that one writer takes beside what it is given to write.
    var bytesPerWriter: Int64 { get }

    /// Tries what this kind of store can do, with objects that it removes; `nil` where all of a kind can do the same.
    func findAbilities() throws(BackupError) -> StoreAbilities?

    /// The same storage, for a store of which it is known what it can do; `nil` if nothing is.
    func using(_ abilities: StoreAbilities?) -> any Storage
}

extension Storage {
    package var bytesPerWriter: Int64 { 0 }

    package func findAbilities() throws(BackupError) -> StoreAbilities? { nil }

    package func using(_ abilities: StoreAbilities?) -> any Storage { self }

    /// Removes the object, and the folders that become empty; it need not be there.
    package func remove(_ key: ObjectKey) throws(BackupError) { try remove([key]) }

    package func makeStreamWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter { try makeWriter(key) }

    /// Of a storage that knows nothing of its writers.
    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try unfinishedWrites(under: folder).filter { $0.key == folder.appending(String($0.key.lastComponent)) }
    }

    /// Of a storage that knows nothing of its writers.
    package func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try temporaryFiles(under: prefix).map { UnfinishedWrite(key: $0, size: 0, changedAt: nil) }
    }
}

/// Writes one object, which becomes visible, whole, when it is finished; one that is dropped or discarded leaves
/// nothing behind.
///
/// `finish` throws ``ErrorCode/objectExists`` if the name was taken by then.
package protocol ObjectWriter: ByteSink {
    /// Drops what was written so far; does nothing after `finish` has returned.
    func discard()
}
