import ApexBackup
import ArgumentParser
import BackupModel

struct List: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List backups and how far each is proved, or all runs.",
        discussion: """
            STATE climbs: committed, verified, restored, drilled. 'running', 'interrupted', 'aborted' and 'unreadable' \
            are no backups. What a failure now would cost is told beside the policy's objectives, on standard error.

            EXAMPLE
              apex-backup list --json

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "List every attempt of every operation instead, also those that failed.")
    var runs = false

    @Flag(help: "Also list what is no backup: running, interrupted and given up attempts.")
    var all = false

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let repository = try settings.repository()
        try repository.requireRegistration()
        if runs {
            let entries = try RunLog(repository: repository).entries()
            if console.isJSON { console.print(json: entries) } else { console.print(BackupText.runs(entries)) }
            return 0
        }
        let entries = try Catalogue(repository).entries()
        let log = RunLog(repository: repository)
        let listings = try entries.filter { entry in
            if all || entry.manifest != nil { return true }
            if case .unreadable = entry.content { return true }
            return false
        }.map { entry in
            var listing = BackupListing(entry)
            if case .running = entry.content, try log.isOver(entry.id) { listing.state = "interrupted" }
            return listing
        }
        if console.isJSON {
            console.print(json: listings)
        } else {
            console.print(BackupText.table(listings))
            for line in settings.standing(of: entries, in: repository) { console.show(.note(line)) }
        }
        return 0
    }
}

struct Show: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show one backup.",
        discussion: """
            EXAMPLE
              apex-backup show latest

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The backup's name, or latest.")
    var backup = "latest"

    func execute(on console: Console) async throws -> Int32 {
        let repository = try common.settings(console).repository()
        try repository.requireRegistration()
        let catalogue = Catalogue(repository)
        let entry = try catalogue.backup(named: backup)
        let listing = BackupListing(entry)
        let databases = try entry.manifest.map { try catalogue.databases(of: $0).databases } ?? []
        if console.isJSON {
            console.print(json: Document(backup: listing, manifest: entry.manifest, facts: entry.facts))
        } else {
            console.print(BackupText.details(listing, of: entry, databases: databases))
        }
        return 0
    }

    private struct Document: Encodable {
        var backup: BackupListing
        var manifest: BackupManifest?
        var facts: [BackupFact]
    }
}
