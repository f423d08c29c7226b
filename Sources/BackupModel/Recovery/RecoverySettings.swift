/// How a restored server is to recover.
package struct RecoverySettings: Sendable, Hashable {
    /// What the server does when it has reached its target (`recovery_target_action`).
    package enum Action: String, Sendable, Hashable {
        case pause
        case promote
        case shutdown
    }

    /// The command that brings WAL, with `%f` and `%p`, for PostgreSQL's shell.
    package var restoreCommand: String
    /// Where recovery ends.
    package var target: RestoreMoment
    /// Whether what is exactly at the target is recovered too; for a transaction, a position or a time.
    package var isInclusive: Bool
    /// The timeline to follow.
    package var timeline: UInt32
    /// With ``RestoreMoment/latest`` there is no target to act at: the server promotes.
    package var action: Action

    /// A way to recover.
    package init(
        restoreCommand: String, target: RestoreMoment, isInclusive: Bool = true, timeline: UInt32,
        action: Action = .promote
    ) {
        self.restoreCommand = restoreCommand
        self.target = target
        self.isInclusive = isInclusive
        self.timeline = timeline
        self.action = action
    }

    /// The settings, exactly one of which is a target unless everything is to be recovered.
    ///
    /// - Throws: ``ErrorCode/usage`` for a time that a server cannot be told.
    package var assignments: [ServerConfigurationText.Assignment] {
        get throws(BackupError) {
            var assignments: [ServerConfigurationText.Assignment] = [.init("restore_command", restoreCommand)]
            if let target = try targetAssignment { assignments.append(target) }
            switch target {
            case .transaction, .position, .time:
                assignments.append(.init("recovery_target_inclusive", isInclusive ? "on" : "off"))
            case .latest, .immediate, .restorePoint: break
            }
            assignments.append(.init("recovery_target_timeline", "\(timeline)"))
            assignments.append(.init("recovery_target_action", action.rawValue))
            return assignments
        }
    }

    private var targetAssignment: ServerConfigurationText.Assignment? {
        get throws(BackupError) {
            switch target {
            case .latest: nil
            case .immediate: .init("recovery_target", "immediate")
            case .transaction(let number): .init("recovery_target_xid", "\(number)")
            case .restorePoint(let name): .init("recovery_target_name", name)
            case .position(let position): .init("recovery_target_lsn", "\(position)")
            case .time(let time): .init("recovery_target_time", try Self.text(of: time))
            }
        }
    }

    /// `2025-01-27 14:30:00.000000+00`: no setting of the server changes how it is read.
    private static func text(of time: Timestamp) throws(BackupError) -> String {
        guard (1...9999).contains(time.parts.year) else {
            throw BackupError(
                .usage, "The server cannot be told to recover to \(time).",
                reason: "its year is not between 1 and 9999", remedy: "Name a time at which the cluster ran.",
                unchanged: "No configuration was written.")
        }
        return time.description.dropLast().map { $0 == "T" ? " " : "\($0)" }.joined() + "+00"
    }
}
