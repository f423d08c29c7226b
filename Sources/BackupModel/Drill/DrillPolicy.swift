/// A drill: what is restored from where, which checks prove it, and which objectives it must meet.
package struct DrillPolicy: Sendable, Hashable {
    /// What the drill is called and whom it concerns; shown in the report.
    package var metadata: Metadata
    /// What recovery must achieve.
    package var objectives: Objectives
    /// What is supposed to have happened; shown in the report.
    package var scenario: Scenario
    /// Which backup is restored.
    package var source: Source
    /// Where it is restored to.
    package var target: Target
    /// What proves it, in the order in which it is run; at least one check is gating.
    package var checks: [DrillCheck]
    /// The reports that are written; JSON always is.
    package var reportFormats: [ReportFormat]

    /// Makes a drill of the checks, with the defaults for all else.
    package init(metadata: Metadata, objectives: Objectives, checks: [DrillCheck]) {
        self.metadata = metadata
        self.objectives = objectives
        self.checks = checks
        scenario = Scenario()
        source = Source()
        target = Target()
        reportFormats = ReportFormat.allCases
    }
}

extension DrillPolicy {
    /// What the drill is called and whom it concerns.
    package struct Metadata: Sendable, Hashable {
        /// How much depends on the function.
        package enum Criticality: String, Sendable, Hashable, CaseIterable {
            /// The business stops without it.
            case critical
            /// The business is hindered without it.
            case important
            /// It can wait.
            case normal
        }

        /// The name of the policy.
        package var name: String
        /// The version that its authors gave it.
        package var version: Int?
        /// Who answers for the drill.
        package var owner: String?
        /// The business function that is recovered.
        package var function: String?
        /// How much depends on it.
        package var criticality: Criticality?
        /// The recovery plan that the drill exercises.
        package var planReference: String?
        /// Labels for grouping, by name.
        package var labels: [String: String] = [:]

        /// Makes the metadata of a drill that has only a name.
        package init(name: String) { self.name = name }
    }

    /// What recovery must achieve, and what is assumed to come before it.
    package struct Objectives: Sendable, Hashable {
        /// The longest time from the failure to the last gating check.
        package var rto: Duration
        /// The longest time before the failure whose data may be lost.
        package var rpo: Duration
        /// The time assumed to pass until the failure is noticed.
        package var detect: Duration
        /// The time assumed to pass until somebody decides to restore.
        package var declare: Duration

        /// Makes objectives; nothing is assumed unless it is given.
        package init(rto: Duration, rpo: Duration, detect: Duration = .zero, declare: Duration = .zero) {
            self.rto = rto
            self.rpo = rpo
            self.detect = detect
            self.declare = declare
        }
    }

    /// What is supposed to have happened: a loss after which a backup is restored.
    package struct Scenario: Sendable, Hashable {
        /// The scenario's type, as it stands in policies and reports.
        package static let type = "restore"
        /// The scenario in words.
        package var text: String?
        /// The controls of standards that the drill is evidence for.
        package var controls: [String] = []

        /// A scenario without words of its own.
        package init() {}
    }

    /// Which backup is restored, and to which moment.
    package struct Source: Sendable, Hashable {
        /// How the backup is chosen.
        package enum Selection: Sendable, Hashable {
            /// The newest.
            case latest
            /// The oldest that is still kept.
            case oldest
            /// This one.
            case id(RunID)
        }

        /// What a physical backup is recovered to.
        package enum Target: Sendable, Hashable {
            /// A moment as `restore --to` takes it.
            case moment(RestoreMoment)
            /// Any moment that can be reached, not longer ago than this before the end of the WAL; `nil` is the whole
            /// window.
            case random(within: Duration?)
        }

        /// Dumps, or the files of a cluster.
        package var kind = BackupKind.logical
        /// How the backup is chosen; of physical ones, `latest` is the newest from which the target is reached.
        package var selection = Selection.latest
        /// The databases that are restored, or `nil` for all of the backup.
        package var databases: [String]?
        /// What a physical backup is recovered to; a logical one has a single recovery point.
        package var target = Target.moment(.latest)
        /// What the choice of a random target begins with; `nil` takes one by chance.
        package var seed: UInt32?

        /// The newest backup with all its databases.
        package init() {}
    }

    /// Where the backup is restored to: a server of the drill's own, of the backup's major version.
    package struct Target: Sendable, Hashable {
        /// The directory in which the server's scratch directory is made, or `nil` for the system's temporary one.
        package var directory: String?
        /// Settings of the server, by name; those that isolate it can not be among them.
        package var overrides: [String: String] = [:]

        /// A server with the default settings in the system's temporary directory.
        package init() {}
    }

    /// A form of the report.
    package enum ReportFormat: String, Sendable, Hashable, CaseIterable {
        /// The record.
        case json
        /// For reading.
        case markdown = "md"
    }
}
