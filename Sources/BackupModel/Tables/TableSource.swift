/// The kind of backup that tables come from when a server is to take them.
package enum TableSource: Sendable, Hashable {
    /// A dump.
    case dump
    /// A physical backup and the WAL behind it.
    case cluster
    /// A physical backup if one leads exactly to the moment; otherwise a dump from before it.
    case clusterIfReached

    /// What is meant by a backup of the kind `named`, `nil` if none was named, and by `moment`, `nil` for none.
    ///
    /// `dumps` are the recovery points of the logical backups.
    package init(
        named: BackupKind?, moment: RestoreMoment?, acceptsNearest: Bool, dumps: [Timestamp], hasPhysical: Bool
    ) {
        switch (named, moment) {
        case (.logical, _), (nil, nil): self = .dump
        case (.physical, _): self = .cluster
        case (nil, _) where !hasPhysical: self = .dump
        // What is nearest to a moment may be a dump; but nothing that was asked for is left out where it is stored.
        case (nil, .time(let time)) where acceptsNearest && dumps.contains { $0 <= time }: self = .clusterIfReached
        case (nil, _): self = .cluster
        }
    }
}
