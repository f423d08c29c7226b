import BackupModel
import BackupStorage

extension RepositoryPrune {
    /// How long the tombstone of a prune that cannot be seen stands against a hold: the next thing that such a prune does
    /// is to look whether its tombstone is still there.
    static let removalPatience: Duration = .seconds(86_400)

    /// Whether a backup that was to be removed stays: somebody held it at the same time, or a fact of it that cannot be
    /// read may be a hold, and nothing of it is gone yet.
    ///
    /// Its tombstones are then taken back.
    ///
    /// A hold is recorded and then looks for a tombstone, a tombstone is recorded and then looks for a hold: one of
    /// them sees the other. The tombstone of another prune that may still run stays: it looked for itself, and may have
    /// seen no hold.
    func mustStay(_ id: RunID, in run: RunID) throws(BackupError) -> Bool {
        guard let entry = try Catalogue(repository).entry(id), case .committed(let manifest) = entry.content
        else { return false }
        // Another prune took the tombstone back, for a hold, while this one stood still.
        guard entry.isTombstoned else { return true }
        guard entry.hold != nil || entry.unreadableFact != nil, try isWhole(manifest) else { return false }
        let remover = try takeTombstonesBack(of: id, in: run)
        if let damaged = entry.unreadableFact {
            repository.environment.warn(
                "\(damaged.message) Backup \(id) stays while it is there: put it back from a copy of the repository, or "
                    + "remove it.")
        }
        if let remover {
            repository.environment.warn(
                "Run \(remover), which may still run, was to remove backup \(id): it is not listed until that run is "
                    + "over, or a day has passed, and 'apex-backup prune --apply' takes its mark back.")
        } else if entry.hold != nil {
            repository.environment.warn("Backup \(id) was held while it was to be removed, and stays.")
        }
        return true
    }

    private func isWhole(_ manifest: BackupManifest) throws(BackupError) -> Bool {
        for volume in manifest.artefacts.flatMap(\.volumes) {
            guard let key = repository.layout.volume(volume.name, of: manifest.id),
                try repository.storage.info(key) != nil
            else { return false }
        }
        return true
    }

    /// Removes the tombstones of a backup, but those that cannot be read, and that of a prune that may still remove it,
    /// which is returned.
    private func takeTombstonesBack(of id: RunID, in run: RunID) throws(BackupError) -> RunID? {
        let facts = repository.layout.facts(id)
        let now = repository.environment.clocks.wall()
        var remover: RunID?
        for name in try repository.storage.children(of: facts) where name.contains("-tombstone-") {
            let key = facts.appending(name)
            let mark: BackupFact?
            do {
                mark = try repository.get(BackupFact.self, at: key)
            } catch  where error.code == .objectDamaged {
                continue
            }
            if let mark, let other = mark.run, other != run, now.since(mark.at) < Self.removalPatience,
                try !RunLog(repository: repository).isOver(other)
            {
                remover = other
            } else {
                try repository.storage.remove(key)
            }
        }
        return remover
    }
}
