/// The configuration of a restored data directory: a plain `pg_ctl -D` starts it on itself, and it recovers as told.
///
/// PostgreSQL reads `postgresql.auto.conf` after `postgresql.conf`, whose place a start may change; so the block of
/// settings is in `postgresql.auto.conf`, which wins and is read wherever the other one is.
package struct RestoredConfiguration: Sendable, Hashable {
    /// What the restored server is to be.
    package enum Role: Sendable, Hashable {
        /// A copy that archives nowhere and runs no jobs.
        case clone
        /// The primary: it archives and runs what its source did.
        case primary
    }

    /// A file to be written into the data directory, over one that is there.
    package struct File: Sendable, Hashable {
        package var name: String
        package var bytes: [UInt8]
    }

    /// A line of a file that was made a comment.
    package struct Neutralised: Sendable, Hashable {
        package var file: String
        package var line: ServerConfigurationText.CommentedLine
    }

    /// What an operator should be told.
    package enum Note: Sendable, Hashable {
        /// Settings in files that were included are lost.
        case inclusionLost(file: String, line: Int)
        /// The backup has no `postgresql.conf`; PostgreSQL's own values are taken.
        case settingsMissing
        /// The backup has no `pg_hba.conf`; peers on this machine are let in.
        case hostAccessMissing
        /// TLS is off: this file is not there.
        case encryptionOff(missing: String)
        /// Sockets are in `/tmp`: none of the source's directories is there.
        case socketsMoved
        /// A setting was raised to what the data and its WAL need.
        case raised(name: String, to: Int32)
        /// A copy does not load these libraries of the source.
        case librariesDropped(setting: String, [PreloadLibraries.Dropped])
        /// The source was itself a restored copy that archived nowhere, and so the primary does not archive either.
        case archivingStaysOff
    }

    /// The files to write.
    package var files: [File] = []
    /// Files to write beside them, as they were in the backup, for the reader.
    package var originals: [File] = []
    /// Empty files that must be there.
    package var present: [String] = []
    /// Files that must not be there.
    package var absent: [String] = []
    package var neutralised: [Neutralised] = []
    package var notes: [Note] = []

    /// Decides.
    ///
    /// `recovery` is `nil` for a backup that needs no archive. `needed` is what the data and its WAL need. `missing` are
    /// those of ``CapturedConfiguration/outsidePaths`` that are not there where the server will run, and
    /// `installedLibraries` the names of the libraries that are, without `.so`; `nil` if that is not known.
    ///
    /// - Throws: ``ErrorCode/settings`` or ``ErrorCode/usage`` if a recovery setting cannot be written.
    package init(
        from captured: CapturedConfiguration, as role: Role, recovery: RecoverySettings?,
        needed: HotStandbyParameters? = nil, missing: Set<String> = [],
        installedLibraries: Set<String>? = nil
    ) throws(BackupError) {
        let main = neutralise(captured.settings, "postgresql.conf", as: role).text
        let altered = neutralise(captured.alteredSettings, "postgresql.auto.conf", as: role)

        var block = try recovery?.assignments ?? []
        block += archiving(as: role, earlier: altered.earlier)
        if role == .clone { block += libraries(captured, installedLibraries) }
        block += limits(needed, captured)
        block += paths(captured, missing)
        let remarks = [
            "Written by the restore; these settings win over all others in the configuration files.",
            "ALTER SYSTEM RESET name, or removing a line, gives a setting back to postgresql.conf.",
        ]
        let text = block.isEmpty ? altered.text : try altered.text.appendingBlock(block, remarks: remarks)

        files = [
            File(name: "postgresql.conf", bytes: captured.settings == nil ? Self.noSettings : main.bytes),
            File(name: "postgresql.auto.conf", bytes: text.bytes),
        ]
        if captured.settings == nil { notes.append(.settingsMissing) }
        takeAccess(captured)
        present = recovery == nil ? [] : ["recovery.signal"]
        // With standby.signal beside recovery.signal a server becomes a standby; with recovery.conf it refuses to start.
        absent = (recovery == nil ? ["recovery.signal"] : []) + ["standby.signal", "recovery.conf"]
    }
}

extension RestoredConfiguration {
    /// Why a line of a captured file may not act, or `nil` if it may.
    package static func objection(to content: ServerConfigurationLine, as role: Role = .primary) -> String? {
        switch content {
        case .empty: nil
        case .unreadable: "no server can read it"
        case .inclusion: "names files of the source"
        case .setting("log_directory", let value):
            CapturedConfiguration.leavesDirectory(value) ? "a directory of the source" : nil
        case .setting("listen_addresses", let value) where role == .clone && isElsewhere(value):
            "addresses of the source's host"
        case .setting(let name, let value) where role == .clone && isOfHost(name, value):
            "may not be possible on this host"
        case .setting(let name, _): objections[name]
        }
    }

    /// The settings of which no line of a captured file may act in a copy, whatever their values.
    package static var neutralisedNames: [String] { (Array(objections.keys) + hostValues.keys).sorted() }

    private static func isOfHost(_ name: String, _ value: [UInt8]) -> Bool {
        guard let values = hostValues[name] else { return false }
        return values.isEmpty || values.contains(String(decoding: value.map(ASCII.lowercased), as: UTF8.self))
    }

    /// Whether a list of addresses has none that every host has: a server that can listen at none does not start.
    private static func isElsewhere(_ addresses: [UInt8]) -> Bool {
        let names = PathList.names(in: String(decoding: addresses, as: UTF8.self)) ?? []
        return !names.isEmpty && names.allSatisfy { !["*", "localhost", "0.0.0.0", "127.0.0.1", "::"].contains($0) }
    }

    /// Settings with the values that some builds of PostgreSQL, kernels or hosts refuse; `[]` for any.
    ///
    /// A server does not start on a file that has one of them, whatever the command line says. A copy does without them.
    private static let hostValues: [String: Set<String>] = [
        "bonjour": [], "default_toast_compression": ["lz4"], "file_copy_method": ["clone"], "file_extend_method": [],
        "huge_pages": ["on", "true", "yes", "1"], "io_method": ["io_uring"], "max_stack_depth": [],
        "unix_socket_group": [], "wal_compression": ["lz4", "zstd"],
        "wal_sync_method": [],
    ]

    private static let objections: [String: String] = {
        var reasons: [String: String] = [:]
        for name in ["data_directory", "config_file", "hba_file", "ident_file", "external_pid_file"] {
            reasons[name] = "a file of the source"
        }
        for name in [
            "recovery_target", "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn",
            "recovery_target_name", "recovery_target_time", "recovery_target_timeline", "recovery_target_xid",
            "restore_command", "recovery_end_command", "archive_cleanup_command", "recovery_min_apply_delay",
        ] {
            reasons[name] = "of an earlier recovery"
        }
        for name in ["primary_conninfo", "primary_slot_name"] { reasons[name] = "follows another server" }
        for name in ["promote_trigger_file", "stats_temp_directory"] { reasons[name] = "not known to every server" }
        return reasons
    }()

    private static let noSettings = Array(
        "# apex-backup restore: the backup has no postgresql.conf; PostgreSQL's own values are taken.\n".utf8)

    private mutating func neutralise(
        _ bytes: [UInt8]?, _ file: String, as role: Role
    ) -> (text: ServerConfigurationText, earlier: [ServerConfigurationText.Statement]) {
        let captured = ServerConfigurationText(bytes ?? [])
        let (unblocked, earlier) = captured.removingBlocks()
        let (text, lines) = unblocked.commentingOut { Self.objection(to: $0.content, as: role) }
        neutralised += lines.map { Neutralised(file: file, line: $0) }
        for line in lines {
            guard case .inclusion = line.statement.content else { continue }
            notes.append(.inclusionLost(file: file, line: line.statement.line))
        }
        if let bytes, text.bytes != bytes { originals.append(File(name: "\(file).apex-original", bytes: bytes)) }
        return (text, earlier)
    }

    /// A clone's restraints; for a primary those of an earlier restore that its source ran with, of archiving.
    private mutating func archiving(
        as role: Role, earlier: [ServerConfigurationText.Statement]
    ) -> [ServerConfigurationText.Assignment] {
        switch role {
        case .clone:
            return OverlaySetting.all.compactMap { setting in
                guard setting.isWritten, case .text(let value) = setting.value else { return nil }
                return .init(setting.name, value)
            }
        case .primary:
            let kept: [ServerConfigurationText.Assignment] = earlier.compactMap { statement in
                guard case .setting(let name, let value) = statement.content,
                    ["archive_mode", "archive_command", "archive_library"].contains(name)
                else { return nil }
                return .init(name, value)
            }
            if kept.contains(.init("archive_mode", "off")) { notes.append(.archivingStaysOff) }
            return kept
        }
    }

    /// The lists of libraries that are shorter for a clone.
    private mutating func libraries(
        _ captured: CapturedConfiguration, _ installed: Set<String>?
    ) -> [ServerConfigurationText.Assignment] {
        var shortened: [ServerConfigurationText.Assignment] = []
        for setting in OverlaySetting.all where setting.value == .preloadLibraries {
            guard let value = captured.value(of: setting.name) else { continue }
            let list = PreloadLibraries(filtering: String(decoding: value, as: UTF8.self), installed: installed)
            guard !list.dropped.isEmpty else { continue }
            notes.append(.librariesDropped(setting: setting.name, list.dropped))
            shortened.append(.init(setting.name, list.value))
        }
        return shortened
    }

    /// Those of the five parameters that the captured files set too low, or not at all where the default is too low.
    private mutating func limits(
        _ needed: HotStandbyParameters?, _ captured: CapturedConfiguration
    ) -> [ServerConfigurationText.Assignment] {
        guard let needed else { return [] }
        var raised: [ServerConfigurationText.Assignment] = []
        for name in HotStandbyParameters.Name.allCases {
            let text = captured.value(of: name.rawValue).map { String(decoding: $0, as: UTF8.self) }
            let value = text.map { Int32($0) ?? -1 } ?? name.defaultValue
            guard value < needed[name] else { continue }
            notes.append(.raised(name: name.rawValue, to: needed[name]))
            raised.append(.init(name.rawValue, "\(needed[name])"))
        }
        return raised
    }

    /// What stands in for paths that are not there.
    private mutating func paths(
        _ captured: CapturedConfiguration, _ missing: Set<String>
    ) -> [ServerConfigurationText.Assignment] {
        var settings: [ServerConfigurationText.Assignment] = []
        let lost = captured.outsidePaths.filter { missing.contains($0.path) }
        if let certificate = lost.first(where: { $0.setting != "unix_socket_directories" }) {
            notes.append(.encryptionOff(missing: certificate.path))
            settings.append(.init("ssl", "off"))
        }
        if lost.contains(where: { $0.setting == "unix_socket_directories" }) {
            let left = captured.socketDirectories.filter { !missing.contains($0) }
            if left.isEmpty { notes.append(.socketsMoved) }
            let directories = left.isEmpty ? ["/tmp"] : left
            settings.append(
                .init("unix_socket_directories", directories.map(PathList.quoted).joined(separator: ", ")))
        }
        return settings
    }

    /// Who is let in: from outside the data directory to the standard names inside.
    private mutating func takeAccess(_ captured: CapturedConfiguration) {
        if case .outside(let bytes) = captured.hostAccess {
            if bytes == nil { notes.append(.hostAccessMissing) }
            take(bytes.map(HostAccessText.init(neutralising:)) ?? .peersOnly, "pg_hba.conf", original: bytes)
        }
        if case .outside(let bytes) = captured.userMaps {
            take(HostAccessText(neutralising: bytes ?? []), "pg_ident.conf", original: bytes)
        }
    }

    private mutating func take(_ text: HostAccessText, _ file: String, original: [UInt8]?) {
        files.append(File(name: file, bytes: text.bytes))
        guard let original, original != text.bytes else { return }
        notes += text.inclusions.map { .inclusionLost(file: file, line: $0) }
        originals.append(File(name: "\(file).apex-original", bytes: original))
    }
}
