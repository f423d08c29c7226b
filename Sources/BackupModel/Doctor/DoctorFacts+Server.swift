/// What there is to say of the server itself, and of the role.
extension DoctorFacts {
    /// All that there is to say, worst first.
    package var findings: [DoctorFinding] {
        let all =
            [version] + (server.inRecovery ? [standby] : []) + rights + [backupAge] + archivingFindings
            + replicationFindings + [fullPageWrites, dataChecksums, clockFinding]
        return DoctorFinding.worstFirst(all)
    }

    private var version: DoctorFinding {
        let text = "The server runs PostgreSQL \(server.version)"
        switch server.major {
        case ..<15:
            return DoctorFinding(
                .serverVersion, .note, "\(text): logical backups only.",
                why: "Base backups are streamed since PostgreSQL 15.", mend: .init(action: "Upgrade the server."))
        case 15...18: return DoctorFinding(.serverVersion, .ok, "\(text).")
        default:
            return DoctorFinding(
                .serverVersion, .note, "\(text), with which this version of apex-backup was not tested.")
        }
    }

    private var standby: DoctorFinding {
        guard wanted.backupWAL == .stream else {
            return DoctorFinding(
                .standby, .warning,
                "The server is a standby, of which no base backup is taken whose WAL comes from the archive.",
                why: "The segment in which it ends is archived only when the primary has filled it.",
                mend: .init(
                    action: "Write backup.physical.wal: stream, or let cluster.url lead to the primary, and ask that: "
                        + "'apex-backup doctor URL'."))
        }
        return DoctorFinding(
            .standby, .note, "The server is a standby: what it archives, if anything, is up to archive_mode = always.",
            mend: .init(action: "Ask the primary too: 'apex-backup doctor URL'."))
    }

    private var rights: [DoctorFinding] {
        let needs = role.needs
        guard !needs.isEmpty else {
            return [
                DoctorFinding(.roleRights, .ok, "The role \(quoteIdentifier(role.role)) has all rights that it needs.")
            ]
        }
        return needs.map { need in
            // A site that has physical backups will fail at its next one.
            let isMissed = need.right == .replication && backups?.newestPhysical != nil
            return DoctorFinding(
                .roleRights, isMissed ? .warning : .note, "\(need.without): the role lacks a right.",
                mend: .init(
                    need.statements,
                    action: need.isPerDatabase ? "Run it in the database that the connection names." : nil))
        }
    }

    private var fullPageWrites: DoctorFinding {
        guard value("full_page_writes") == "off" else {
            return DoctorFinding(.fullPageWrites, .ok, "full_page_writes is on.")
        }
        return DoctorFinding(
            .fullPageWrites, .warning, "full_page_writes is off.",
            why: "A crash may leave torn pages, and no base backup can be taken from a standby.",
            mend: setting(("full_page_writes", "on")))
    }

    private var dataChecksums: DoctorFinding {
        guard !server.dataChecksums else { return DoctorFinding(.dataChecksums, .ok, "Data pages have checksums.") }
        return DoctorFinding(
            .dataChecksums, .note,
            "Data pages have no checksums: damage of the disk is not seen while it is backed up.",
            mend: .init(action: "Stop the server and run 'pg_checksums --enable -D' on its data directory."))
    }

    private var clockFinding: DoctorFinding {
        let skew = clock.skew
        let size = max(skew, .zero - skew)
        let text =
            "The server's clock is \(DurationText.format(size)) \(skew < .zero ? "behind" : "ahead of") this host's"
        // A difference that the time of asking explains is none.
        guard size - clock.uncertainty > .seconds(5) else {
            return DoctorFinding(.clock, .ok, "The clocks of the server and of this host agree.")
        }
        return DoctorFinding(
            .clock, .warning, "\(text).",
            why: "A moment to which to restore is one of the server's clock.",
            mend: .init(action: "Let both follow one source of time (chrony, for example)."))
    }
}

extension DoctorFinding {
    /// The same findings, the worst first; those that are as bad as each other keep their order.
    package static func worstFirst(_ findings: [DoctorFinding]) -> [DoctorFinding] {
        findings.enumerated().sorted { ($0.element.level, $0.offset) < ($1.element.level, $1.offset) }.map(\.element)
    }
}
