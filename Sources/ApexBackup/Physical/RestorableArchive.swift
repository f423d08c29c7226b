import BackupModel
import BackupStorage

/// What plans of a restore know of the backups and the WAL of one server: looked at once, for as many plans as are made of
/// it, with what they have found out since.
struct RestorableArchive {
    let archive: WALArchive
    /// The backup that was asked for, or the newest.
    let first: CatalogueEntry
    /// The physical backups of the server.
    let backups: [RecoveryCandidate]
    /// The timelines that production was seen on.
    let production: Set<UInt32>
    let index: ArchiveIndex
    var survey: ArchiveSurvey

    init(
        _ archive: WALArchive, beginningWith first: CatalogueEntry, of entries: [CatalogueEntry], size: WALSegmentSize
    ) throws(BackupError) {
        self.archive = archive
        self.first = first
        let system = first.manifest?.systemIdentifier
        backups = entries.compactMap { $0.manifest?.systemIdentifier == system ? RecoveryCandidate($0) : nil }
        production = Set(backups.map(\.timeline))
        survey = try ArchiveSurvey(archive, size: size)
        index = ArchiveIndex(
            survey.rollUps, histories: try archive.histories().values.sorted { $0.timeline < $1.timeline })
    }
}
