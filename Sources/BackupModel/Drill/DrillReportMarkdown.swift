extension DrillReport {
    /// The report for reading, in which all that policies and servers say is escaped.
    ///
    /// The same report gives the same text.
    package var markdown: String {
        "# Drill report: \(escapedForMarkdown(policy.name))\n\n" + verdictBox + scopeSection + objectiveSection
            + phaseSection + recoveryPointSection + backupSection + (recovery?.markdown ?? "") + checkSection
            + targetSection + findingSection
            + environmentSection + limitSection + chainSection
    }

    private var verdictBox: String {
        var lines = ["**\(verdict.headline)**", summary]
        lines += reasons.map { "- \(escapedForMarkdown($0))" }
        if !cleanup.isDone {
            lines.append("**Clean-up failed**: \(escapedForMarkdown(cleanup.proof.joined(separator: "; ")))")
        }
        return lines.map { "> \($0)\n" }.joined(separator: ">\n") + "\n"
    }

    /// The verdict in plain words.
    private var summary: String {
        let name = backup.map { "Backup `\($0.id)`" } ?? "No backup"
        switch verdict {
        case .pass:
            let time = recoveryTime.total.map { Self.text($0) } ?? "?"
            let point = recoveryPoint.map { Self.text($0.actual) } ?? "?"
            let bound = recoveryPoint?.isUpperBound == true ? "at most " : ""
            return "\(name) was restored to an empty server and every gating check held. Recovery took \(time) (RTO "
                + "\(Self.text(objectives.rto))), and \(bound)\(point) of data would have been lost (RPO "
                + "\(Self.text(objectives.rpo)))."
        case .fail:
            guard let total = recoveryTime.total else { return "\(name): recovery was not proved. The drill failed:" }
            return "\(name) was restored and recovery took \(Self.text(total)), and still the drill failed:"
        case .notVerified: return "The drill proves nothing, neither that recovery works nor that it does not:"
        }
    }

    private var scopeSection: String {
        var rows = [
            ["Drill", "`\(id)`"], ["Declared failure", clock.t0.readable], ["Finished", clock.finishedAt.readable],
        ]
        let optional: [(String, String?)] = [
            ("Function", policy.function), ("Criticality", policy.criticality), ("Owner", policy.owner),
            ("Recovery plan", policy.planReference), ("Scenario", policy.scenario.text),
            ("Controls", policy.scenario.controls.isEmpty ? nil : policy.scenario.controls.joined(separator: ", ")),
        ]
        rows += optional.compactMap { name, value in value.map { [name, escapedForMarkdown($0)] } }
        rows += policy.labels.sorted { $0.key < $1.key }.map {
            ["Label \(escapedForMarkdown($0.key))", escapedForMarkdown($0.value)]
        }
        let version = policy.version.map { " version \($0)" } ?? ""
        rows.append(["Policy", "\(escapedForMarkdown(policy.name))\(version), SHA-256 `\(policy.sha256)`"])
        return markdownTable(["What", "Value"], rows)
    }

    private var objectiveSection: String {
        let measured: String
        if let total = recoveryTime.total {
            measured = Self.text(total)
        } else if let tried = recoveryTime.notRecoveredWithin {
            measured = "none; not recovered within \(Self.text(tried))"
        } else {
            measured = "none"
        }
        let split = "measured \(Self.text(recoveryTime.measured)), assumed \(Self.text(recoveryTime.assumed))"
        let rows = [
            [
                "RTO", Self.text(objectives.rto), measured, split, "–",
                Self.margin(objectives.rto, recoveryTime.total), objectives.rtoVerdict.headline,
            ],
            [
                "RPO", Self.text(objectives.rpo), recoveryPoint.map { Self.text($0.actual) } ?? "none",
                recoveryPoint?.basis.rawValue ?? "–", recoveryPoint.map { "± \(Self.text($0.uncertainty))" } ?? "–",
                Self.margin(objectives.rpo, recoveryPoint?.actual), objectives.rpoVerdict.headline,
            ],
        ]
        return "## Objectives against measured\n\nMeasured against the RTO is the recovery time actual (RTA), against "
            + "the RPO the recovery point actual (RPA).\n\n"
            + markdownTable(["Objective", "Target", "Measured", "Evidence", "Uncertainty", "Margin", "Result"], rows)
    }

    private var phaseSection: String {
        let rows = recoveryTime.phases.map { phase in
            [
                phase.name.rawValue, phase.start.map { "+\(DurationText.format($0.since(clock.t0)))" } ?? "–",
                Self.text(phase.duration), phase.bytes.map(formatBytes) ?? "–", phase.basis.rawValue,
                phase.isPartOfRecovery ? "yes" : "no",
            ]
        }
        return "## Phases\n\n"
            + (rows.isEmpty
                ? "None was begun.\n\n"
                : "Phases may overlap; the recovery time counts each moment once.\n\n"
                    + markdownTable(["Phase", "Begins", "Takes", "Bytes", "Basis", "In the recovery time"], rows))
    }

    private var recoveryPointSection: String {
        guard let point = recoveryPoint else {
            let why = recovery?.replayedLSN == nil ? "Nothing was restored" : "Not measured: the WAL tells no time"
            return "## Recovery point\n\n\(why).\n\n"
        }
        let database = point.database.map { " of database \(escapedForMarkdown($0))" } ?? ""
        let timeline = point.timeline.map { " on timeline \($0)" } ?? ""
        let position = point.lsn.map { ", WAL position `\($0)`\(timeline)" } ?? ""
        let source = point.uncertaintyBasis.map { " (\(escapedForMarkdown($0)))" } ?? ""
        let failure =
            point.failure.map { "the damage is supposed to have been done at \($0.readable)" }
            ?? "the failure was declared at \(clock.t0.readable)"
        let bound = point.isUpperBound == true ? "at most " : ""
        return "## Recovery point\n\nAll that was committed before \(point.covered.readable) is there; \(failure). "
            + "Evidence: \(point.basis.rawValue)\(database)\(position). "
            + "RPA \(bound)\(Self.text(point.actual)) ± \(Self.text(point.uncertainty))\(source).\(Self.loss(point))\n\n"
    }

    private static func loss(_ point: RecoveryPointRecord) -> String {
        guard let bytes = point.lostBytes, let basis = point.lossBasis else { return "" }
        let end =
            switch basis {
            case .source:
                "at the declared failure the source had written up to `\(point.sourceLSN?.description ?? "?")`"
            case .archive: "by what is stored; what the source had written is not known"
            }
        return " WAL written and not recovered: \(formatBytes(Int64(clamping: bytes))) (\(end))."
    }

    private var backupSection: String {
        guard let backup else { return "## Backup used\n\nNone.\n\n" }
        let rows = [
            ["Backup", "`\(backup.id)` (\(escapedForMarkdown(backup.kind)))"],
            ["Chosen", escapedForMarkdown(backup.selection)], ["Recovery point", backup.recoveryPoint.readable],
            ["Proved before", backup.state.map(escapedForMarkdown) ?? "–"],
            ["Databases", escapedForMarkdown(backup.databases.joined(separator: ", "))],
            ["Size", "\(formatBytes(backup.contentBytes)), stored as \(formatBytes(backup.storedBytes))"],
        ]
        let artefacts = backup.artefacts.map {
            [escapedForMarkdown($0.name), formatBytes($0.bytes), formatBytes($0.storedBytes), "`\($0.sha256)`"]
        }
        return "## Backup used\n\n" + markdownTable(["What", "Value"], rows)
            + markdownTable(["Artefact", "Size", "Stored", "SHA-256 of the content"], artefacts)
    }

    private var checkSection: String {
        let rows = checks.map { check in
            [
                escapedForMarkdown(check.id), check.type.rawValue, check.isGating ? "gating" : "advisory",
                escapedForMarkdown(check.expected.description),
                check.got.map { escapedForMarkdown($0.description) } ?? "–", check.verdict.headline,
                Self.text(check.duration),
                [check.reason, check.evidence].compactMap { $0 }.map(escapedForMarkdown).joined(separator: "; "),
            ]
        }
        return "## Checks\n\n"
            + markdownTable(["Check", "Type", "Weight", "Expected", "Got", "Result", "Took", "Why and evidence"], rows)
    }

    private var targetSection: String {
        var text = "## Target and clean-up\n\n"
        if let target {
            var rows = [["Type", escapedForMarkdown(target.type)]]
            rows += target.serverVersion.map { [["PostgreSQL", escapedForMarkdown($0)]] } ?? []
            rows += target.systemIdentifier.map { [["System identifier", escapedForMarkdown($0)]] } ?? []
            rows += target.isolation.map { ["Isolation", escapedForMarkdown($0)] }
            rows += target.overrides.sorted { $0.key < $1.key }.map {
                ["Override", escapedForMarkdown("\($0.key) = \($0.value)")]
            }
            text += markdownTable(["What", "Value"], rows)
        } else {
            text += "No server was made.\n\n"
        }
        text += cleanup.isDone ? "Clean-up is done:\n\n" : "**Clean-up failed:**\n\n"
        return text + markdownList(cleanup.proof, none: "Nothing was recorded.")
    }

    private var findingSection: String {
        let rows = findings.map { [$0.id, $0.severity.rawValue, escapedForMarkdown($0.text), $0.state] }
        return "## Findings\n\n"
            + (rows.isEmpty ? "None.\n\n" : markdownTable(["Finding", "Severity", "What", "State"], rows))
    }

    private var environmentSection: String {
        var rows: [[String]] = []
        rows += environment.host.map { [["Host", escapedForMarkdown($0)]] } ?? []
        rows += environment.operatingSystem.map { [["Operating system", escapedForMarkdown($0)]] } ?? []
        rows += environment.cpuCount.map { [["Processors", "\($0)"]] } ?? []
        rows += environment.memoryBytes.map { [["Memory", formatBytes($0)]] } ?? []
        rows += environment.versions.sorted { $0.key < $1.key }.map {
            [escapedForMarkdown($0.key), escapedForMarkdown($0.value)]
        }
        return "## Environment\n\n" + (rows.isEmpty ? "Not recorded.\n\n" : markdownTable(["What", "Value"], rows))
    }

    private var limitSection: String {
        "## Deviations\n\n" + markdownList(deviations, none: "None.") + "## Assumptions\n\n"
            + markdownList(assumptions, none: "None.") + "## Not tested\n\n"
            + markdownList(notTested, none: "Nothing is known to have been left out.")
    }

    private var chainSection: String {
        let previous = chain.previous.map { "`\($0)`" } ?? "none; this is the first drill"
        let journal = chain.journalHead.map { " Last line of the journal: `\($0)`." } ?? ""
        return "## Chain\n\nLedger entry before this drill: \(previous).\(journal) The JSON report is the record; this "
            + "text is a view of it.\n"
    }

    private static func text(_ seconds: ReportSeconds) -> String {
        seconds.duration == .zero ? "0 s" : DurationText.format(seconds.duration)
    }

    private static func margin(_ target: ReportSeconds, _ measured: ReportSeconds?) -> String {
        measured.map { DurationText.format(target.duration - $0.duration) } ?? "–"
    }
}
