import BackupModel
import BackupStorage

extension RepositoryPrune {
    /// What writers that died have left among the WAL and in its index.
    ///
    /// It is under no lease, as many may archive at once: so it is told by the age of what is left, or by its writer, if
    /// that was on this host.
    func abandonedWrites(at now: Timestamp) throws(BackupError) -> [UnfinishedWrite] {
        var found: [UnfinishedWrite] = []
        for incarnation in try repository.incarnations() {
            guard let objects = repository.layout.incarnationObjects(incarnation.systemIdentifier) else { continue }
            for root in [objects.wal, objects.index] {
                found += try repository.storage.unfinishedWrites(under: root).filter { $0.isAbandoned(at: now) }
            }
        }
        return found
    }

    /// Removes them; returns their bytes.
    func remove(_ writes: [UnfinishedWrite]) throws(BackupError) -> Int64 {
        try repository.storage.removeTemporaryFiles(writes.map(\.key))
        return writes.reduce(0) { $0 + $1.size }
    }
}
