/// What there is to say of the way of the WAL into the repository.
extension DoctorFacts {
    var archivingFindings: [DoctorFinding] {
        var findings = [walLevel]
        guard !server.inRecovery || archives else { return findings }
        findings.append(archiveMode)
        guard archives else { return findings }
        if let library = value("archive_library"), !library.isEmpty {
            findings.append(archiveLibrary(library))
        } else {
            findings += archiveCommandFindings
        }
        findings.append(archiverState)
        if !server.inRecovery { findings += [roundTripFinding, archiveTimeout] }
        return findings
    }

    private var walLevel: DoctorFinding {
        let level = value("wal_level") ?? ""
        guard level == "minimal" else { return DoctorFinding(.walLevel, .ok, "wal_level is \(level).") }
        return DoctorFinding(
            .walLevel, .error, "wal_level is minimal: the WAL does not hold enough to restore from.",
            why: "Base backups are refused, and nothing can be archived.",
            mend: setting(("wal_level", "replica")))
    }

    private var archiveMode: DoctorFinding {
        guard let mode = value("archive_mode"), mode != "off" else {
            var changes = setting(("archive_mode", "on"), ("archive_command", wanted.archiveCommand))
            // With wal_level minimal such a server does not start.
            if value("wal_level") == "minimal" {
                changes = setting(
                    ("wal_level", "replica"), ("archive_mode", "on"), ("archive_command", wanted.archiveCommand))
            }
            guard !receives else {
                return DoctorFinding(
                    .archiveMode, .note, "archive_mode is off: the WAL comes by 'apex-backup wal receive' alone.")
            }
            let text = "archive_mode is off: no WAL is archived."
            return wanted.backupWAL == .stream
                ? DoctorFinding(
                    .archiveMode, .warning, text, why: "Only the moments of backups can be restored.", mend: changes)
                : DoctorFinding(
                    .archiveMode, .error, text,
                    why: "With backup.physical.wal: archive a base backup has its WAL from there: none is taken.",
                    mend: changes)
        }
        if mode == "always" {
            return DoctorFinding(
                .archiveMode, .note, "archive_mode is always: standbys archive too.",
                why: "What they store twice is the same, and is stored once.")
        }
        return DoctorFinding(
            .archiveMode, receives ? .note : .ok,
            "archive_mode is \(mode)" + (receives ? ", and 'apex-backup wal receive' stores the same WAL too." : "."))
    }

    private func archiveLibrary(_ library: String) -> DoctorFinding {
        let isBoth = server.major >= 16 && !(value("archive_command") ?? "").isEmpty
        return DoctorFinding(
            .archiveLibrary, isBoth ? .error : .note,
            isBoth
                ? "archive_library and archive_command are both set: PostgreSQL \(server.major) then archives nothing."
                : "archive_library is '\(library)': the WAL goes where that brings it, and archive_command is not used.",
            mend: setting(("archive_library", ""), ("archive_command", wanted.archiveCommand)))
    }

    private var mendedCommand: DoctorFinding.Mend {
        setting(
            ("archive_command", wanted.archiveCommand),
            action: pushProgramExists == nil ? "The program must have this path on the server's host." : nil)
    }

    private var archiveCommandFindings: [DoctorFinding] {
        let command = archiveCommand
        return [judgement(of: command.content)]
            + command.flaws.map(judgement(of:))
            + (program(command) + repository(command))
    }

    private func judgement(of content: ArchiveCommand.Content) -> DoctorFinding {
        let mend = mendedCommand
        switch content {
        case .empty:
            return DoctorFinding(
                .archiveCommand, .error, "archive_mode is on and archive_command is empty.",
                why: "The server keeps all WAL until pg_wal is full, and then stops.", mend: mend)
        case .storesNothing:
            return DoctorFinding(
                .archiveCommand, .error, "archive_command succeeds and stores nothing.",
                why: "The server believes that its WAL is archived, and removes it: only the moments of backups can be "
                    + "restored.",
                mend: mend)
        case .other(let tool):
            return DoctorFinding(
                .archiveCommand, .note,
                "archive_command runs \(tool): the WAL goes elsewhere than into this repository.",
                mend: receives ? nil : mend)
        case .notUnderstood(let why):
            return DoctorFinding(
                .archiveCommand, .note, "What archive_command does is not understood: \(why).",
                why: "The round trip of a segment decides.", mend: mend)
        case .push:
            return DoctorFinding(.archiveCommand, .ok, "archive_command runs 'wal push' of apex-backup.")
        }
    }

    private func judgement(of flaw: ArchiveCommand.Flaw) -> DoctorFinding {
        let mend = mendedCommand
        switch flaw {
        case .hidesFailure(let words):
            return DoctorFinding(
                .archiveCommand, .error, "archive_command may succeed though nothing was stored: \(words).",
                why: "The server then removes WAL that is in no archive.", mend: mend)
        case .relativeProgram(let program):
            return DoctorFinding(
                .archiveCommandPath, .warning,
                "archive_command names its program without an absolute path: '\(program)'.",
                why: "Which program that is depends on the environment from which the server was started.", mend: mend)
        case .noPath:
            return DoctorFinding(
                .archiveCommandQuoting, .error, "archive_command does not say which file to store.",
                why: "PostgreSQL puts its path for %p, as a word of its own.", mend: mend)
        case .unknownPlaceholder(let text):
            return DoctorFinding(
                .archiveCommandQuoting, server.major >= 16 ? .error : .warning,
                "archive_command has the placeholder '\(text)', which PostgreSQL does not know.",
                why: server.major >= 16
                    ? "The archiver fails with it." : "PostgreSQL 16 and newer fail with it; a percent sign is %%.",
                mend: mend)
        case .unbalancedQuote(let quote):
            return DoctorFinding(
                .archiveCommandQuoting, .error, "archive_command has a quote (\(quote)) without its end.",
                why: "The shell refuses it.", mend: mend)
        }
    }

    private func program(_ command: ArchiveCommand) -> [DoctorFinding] {
        guard case .push(let push) = command.content, push.program.hasPrefix("/") else { return [] }
        return [
            pushProgramExists == false
                ? DoctorFinding(
                    .archiveCommandPath, .error, "There is no program '\(push.program)', which archive_command runs.",
                    mend: mendedCommand)
                : DoctorFinding(
                    .archiveCommandPath, .ok,
                    "archive_command names its program by its absolute path, '\(push.program)'.")
        ]
    }

    /// What went through the archive says more than what the command names.
    private func repository(_ command: ArchiveCommand) -> [DoctorFinding] {
        guard case .push = command.content, let pushTarget else { return [] }
        // A receiver stores the segment too, whatever archive_command does.
        if case .proved = roundTrip, !receives {
            return [
                DoctorFinding(
                    .archiveCommandRepository, .ok, "archive_command stores into this repository: a segment came back.")
            ]
        }
        switch pushTarget {
        case .same:
            return [
                DoctorFinding(
                    .archiveCommandRepository, .ok,
                    "archive_command names this repository and the cluster "
                        + "'\(wanted.cluster)'.")
            ]
        case .other(let what):
            return [
                DoctorFinding(
                    .archiveCommandRepository, .error, "archive_command stores elsewhere: \(what).", mend: mendedCommand
                )
            ]
        case .notKnown(let why):
            return [
                DoctorFinding(
                    .archiveCommandRepository, .note,
                    "Into which repository archive_command stores is not known: \(why).",
                    mend: mendedCommand)
            ]
        }
    }

    private var archiverState: DoctorFinding {
        let backlog = waiting.map { ", and \($0) files wait" } ?? ""
        if archiver.isFailing {
            return DoctorFinding(
                .archiver, .error,
                "The archiver fails: \(archiver.lastFailed ?? "a file") at \(archiver.lastFailedAt?.readable ?? "?"), "
                    + "\(archiver.failures) failures in all\(backlog).",
                why: "Until it succeeds the server keeps all WAL since then.",
                mend: .init(
                    action:
                        "See the server's log at that time: it has what archive_command said, after 'archive command "
                        + "failed'."))
        }
        guard let last = archiver.lastArchived else {
            return DoctorFinding(.archiver, .note, "The archiver has archived nothing yet\(backlog).")
        }
        let at = archiver.lastArchivedAt.map { " at \($0.readable)" } ?? ""
        if lastArchivedIsStored == false {
            return DoctorFinding(
                .archiver, receives ? .note : .error,
                "The server says that it archived \(last)\(at), which is not in this repository\(backlog).",
                why: receives ? nil : "Its WAL goes elsewhere, or nowhere.", mend: mendedCommand)
        }
        return DoctorFinding(
            .archiver, .ok,
            "The archiver works: \(last)\(at)\(lastArchivedIsStored == true ? ", which is in this repository" : "")"
                + "\(backlog).")
    }

    private var roundTripFinding: DoctorFinding {
        let log = DoctorFinding.Mend(
            action:
                "See pg_stat_archiver, and the server's log for 'archive command failed': it has what the command said. A "
                + "command that a signal ended is in the log only.")
        switch roundTrip {
        case .proved(let segment, let took):
            let isLate = took > wanted.rpo
            return DoctorFinding(
                .archiveRoundTrip, isLate ? .warning : .ok,
                "WAL segment \(segment) was in the repository after \(DurationText.format(took)), and is what the "
                    + "server wrote"
                    + (isLate ? ": later than the RPO of \(DurationText.format(wanted.rpo)) allows." : "."))
        case .elsewhere(let segment):
            return DoctorFinding(
                .archiveRoundTrip, .error,
                "The server says that it archived WAL segment \(segment), and it is not in this repository.",
                why: "archive_command stores it elsewhere, or nowhere.", mend: mendedCommand)
        case .missing(let segment, let waited):
            let failed = archiver.lastFailed.map { failed in
                "The last failure was \(failed) at \(archiver.lastFailedAt?.readable ?? "?"), of \(archiver.failures)."
            }
            return DoctorFinding(
                .archiveRoundTrip, .error,
                "WAL segment \(segment) was not in the repository after \(DurationText.format(waited)).", why: failed,
                mend: log)
        case .damaged(let segment, let why):
            return DoctorFinding(
                .archiveRoundTrip, .error, "WAL segment \(segment) came back as another: \(why)",
                mend: .init(action: "Run 'apex-backup verify --all', and look for damage of the repository's disk."))
        case .notAllowed(let grant):
            return DoctorFinding.notKnown(
                .archiveRoundTrip, "Whether a segment reaches the repository", grant: grant)
        case .notTried(let why):
            return DoctorFinding(.archiveRoundTrip, .note, "No segment was sent through the archive: \(why).")
        }
    }

    private var archiveTimeout: DoctorFinding {
        let rpo = "RPO of \(DurationText.format(wanted.rpo))"
        let seconds = number("archive_timeout") ?? 0
        let timeout = Duration.seconds(seconds)
        guard !receives else {
            return DoctorFinding(
                .archiveTimeout, .ok,
                "archive_timeout is \(seconds) s; 'apex-backup wal receive' does not wait for the end of a segment.")
        }
        let wantedSeconds = max(1, min(60, wanted.rpo.components.seconds / 2))
        let mend = setting(("archive_timeout", "\(wantedSeconds)s"))
        if seconds == 0 {
            return DoctorFinding(
                .archiveTimeout, .error,
                "archive_timeout is 0: what was committed last is archived when its segment is full.",
                why: "On a server with little to do that is later than the \(rpo).", mend: mend)
        }
        if timeout > wanted.rpo {
            return DoctorFinding(
                .archiveTimeout, .error,
                "archive_timeout is \(DurationText.format(timeout)), longer than the \(rpo).", mend: mend)
        }
        if case .proved(_, let took) = roundTrip, timeout + took > wanted.rpo {
            return DoctorFinding(
                .archiveTimeout, .warning,
                "archive_timeout (\(DurationText.format(timeout))) and the way into the repository "
                    + "(\(DurationText.format(took))) take longer than the \(rpo).", mend: mend)
        }
        return DoctorFinding(
            .archiveTimeout, .ok, "archive_timeout is \(DurationText.format(timeout)), within the \(rpo).")
    }
}
