import ApexBackup
import BackupModel

/// Backups as people read them.
enum BackupText {
    static func summary(_ manifest: BackupManifest) -> String {
        let totals = manifest.totals
        let what =
            manifest.physical.map { "\($0.files) files of a cluster of \(totals.databases) databases, " }
            ?? "\(totals.databases) databases, \(totals.tables) tables, \(totals.rows) rows, "
        var lines = [
            "Backup \(manifest.id) committed: " + what
                + "\(formatBytes(totals.contentBytes)) in \(formatBytes(totals.storedBytes)), "
                + "\(DurationText.format(manifest.duration)). Recovery point \(manifest.recoveryPoint.readable)."
        ]
        lines += manifest.warnings.map { "Warning: \(onOneLine($0))" }
        return lines.joined(separator: "\n")
    }

    static func table(_ listings: [BackupListing]) -> String {
        guard !listings.isEmpty else { return "There are no backups. Take one with 'apex-backup backup'." }
        var table = TextTable(header: [
            "BACKUP", "KIND", "STATE", "RECOVERY POINT", "CONTENT", "STORED", "TOOK", "RATE", "NOTES",
        ])
        for item in listings {
            table.rows.append([
                item.id.text, item.kind, item.state, item.recoveryPoint?.readable ?? "-",
                item.contentBytes.map(formatBytes) ?? "-", item.storedBytes.map(formatBytes) ?? "-",
                item.seconds.map { DurationText.format(.seconds($0)) } ?? "-",
                item.bytesPerSecond.map { "\(formatBytes($0))/s" } ?? "-", notes(item),
            ])
        }
        return table.text
    }

    private static func notes(_ item: BackupListing) -> String {
        var notes = item.warnings
        if let held = item.held { notes.insert("held: \(held)", at: 0) }
        return notes.joined(separator: "; ")
    }

    static func details(_ item: BackupListing, of entry: CatalogueEntry, databases: [DatabaseRecord]) -> String {
        let manifest = entry.manifest
        let state = item.state + (entry.failedVerification == nil ? "" : ", DAMAGED: see the warning below")
        var lines = ["Backup          \(item.id)", "Kind            \(item.kind)", "State           \(state)"]
        func add(_ name: String, _ value: String?) {
            guard let value else { return }
            lines.append(name + String(repeating: " ", count: max(1, 16 - name.count)) + onOneLine(value))
        }
        add("Recovery point", item.recoveryPoint?.readable)
        add("Took", item.seconds.map { DurationText.format(.seconds($0)) })
        add("Content", item.contentBytes.map(formatBytes))
        add("Stored", item.storedBytes.map(formatBytes))
        add("Rate", item.bytesPerSecond.map { "\(formatBytes($0))/s" })
        let server = manifest?.server.inRecovery == true ? "standby, " : ""
        add(
            "Server",
            item.serverVersion.map { "\(server)PostgreSQL \($0), system identifier \(item.systemIdentifier ?? "-")" })
        add("Tools", manifest?.tools.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        if let physical = manifest?.physical {
            add(
                "WAL",
                "needed from \(physical.start) to \(physical.stop) of timeline \(physical.timeline)")
            add("Files", "\(physical.files) in \(physical.packs) packs")
            for tablespace in physical.tablespaces {
                add("Tablespace", "\(tablespace.oid), in the source at '\(tablespace.location)'")
            }
            for damage in physical.damage ?? [] { add("Source damage", damage) }
        }
        add("Verified", proof(.verified, of: entry))
        add("Restored", proof(.restored, of: entry))
        add("Drilled", proof(.drilled, of: entry))
        add("Held", item.held)
        for warning in item.warnings { add("Warning", warning) }
        for database in databases {
            add(
                "Database",
                "'\(database.name)': \(database.rows) rows in \(database.tables) tables, "
                    + "\(formatBytes(database.contentBytes)), as of \(database.snapshot.clock.readable), LSN "
                    + "\(database.snapshot.lsn), extensions "
                    + database.extensions.map { "\($0.name) \($0.version)" }.joined(separator: ", "))
        }
        for artefact in manifest?.artefacts ?? [] {
            add(
                "File",
                "\(artefact.name): \(formatBytes(artefact.storedBytes)), content SHA-256 \(artefact.contentSHA256)")
        }
        return lines.joined(separator: "\n")
    }

    /// When the backup was last proved in this way, and by what or of what.
    private static func proof(_ kind: BackupFact.Kind, of entry: CatalogueEntry) -> String {
        guard let fact = entry.last(kind) else { return "never" }
        let remarks = [fact.level, fact.partial == true ? "of a part" : nil].compactMap { $0 }
        return fact.at.readable + (remarks.isEmpty ? "" : " (\(remarks.joined(separator: ", ")))")
    }

    static func runs(_ entries: [RunLog.Entry]) -> String {
        guard !entries.isEmpty else { return "There are no runs." }
        var table = TextTable(header: ["RUN", "OPERATION", "STATE", "STARTED", "TOOK", "HOST", "REASON"])
        for entry in entries {
            table.rows.append([
                entry.id.text, entry.start?.operation.rawValue ?? "-", entry.state.rawValue,
                entry.start?.at.readable ?? "-", entry.end.map { DurationText.format(.seconds($0.seconds)) } ?? "-",
                entry.start?.host ?? "-", entry.end?.error?.message ?? entry.problem ?? "",
            ])
        }
        return table.text
    }
}
