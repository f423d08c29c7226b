import BackupModel
import PostgresAccess

/// What an operator should know of the target before databases change there.
struct RestoreWarnings {
    let target: TargetServer
    let plan: RestorePlan
    let isDisconnecting: Bool

    private var entries: [RestorePlan.Database] { plan.databases }

    func all() async throws -> [String] {
        var warnings = missing() + (try await leftovers())
        for entry in entries where entry.action == .swap || entry.action == .replaceEmpty {
            let name = entry.target
            if try await !target.acceptsSessions(name) {
                warnings.append(
                    "'\(name)' takes no sessions, as a restore that was killed may leave it: to open it, run "
                        + "ALTER DATABASE \(quoteIdentifier(name)) ALLOW_CONNECTIONS true")
            }
            for subscription in try await target.subscriptions(in: name) {
                warnings.append(
                    "the subscription '\(subscription)' belongs to the present '\(name)' and stays with it: disable it, or "
                        + "it goes on filling the old one")
            }
            for slot in try await target.logicalSlots(in: name) {
                warnings.append(
                    "the logical replication slot '\(slot)' belongs to the present '\(name)' and stays with it: its "
                        + "consumer will not see the restored one, and the old one cannot be dropped before the slot")
            }
            if isDisconnecting {
                let others = try await target.sessions(in: name)
                if !others.isEmpty {
                    warnings.append("sessions in '\(name)' that will be ended: \(others.joined(separator: ", "))")
                }
            }
            if entry.action == .swap {
                warnings.append(
                    "poolers and applications that hold sessions in '\(name)' must connect again to see the restored one"
                )
            }
        }
        return warnings
    }

    private func missing() -> [String] {
        var warnings: [String] = []
        if !plan.missingRoles.isEmpty {
            warnings.append(
                "missing on the target, and not created by this restore: the roles "
                    + "\(plan.missingRoles.joined(separator: ", ")). A dump that gives them objects or rights stops there"
            )
        }
        let bytes = entries.reduce(0) { $0 + $1.contentBytes }
        if let free = plan.targetFreeBytes, free < bytes {
            warnings.append(
                "the target has \(formatBytes(free)) free for \(formatBytes(bytes)) of dump and its indexes: it may not fit"
            )
        }
        if !target.facts.isSuperuser {
            warnings.append(
                "'\(target.user)' is no superuser: the restore stops at the first object that it may not make, or not "
                    + "give to its owner")
        }
        return warnings
    }

    /// Names what restores that were killed have left.
    private func leftovers() async throws -> [String] {
        let names = try await target.databaseNames()
        var warnings = WorkingName.warnings(among: names, of: entries.map(\.target))
        for name in names where entries.contains(where: { WorkingName.isKept(name, of: $0.target) }) {
            guard try await !target.acceptsSessions(name) else { continue }
            warnings.append(
                "'\(name)', kept by an earlier restore, takes no sessions: to open it, run "
                    + "ALTER DATABASE \(quoteIdentifier(name)) ALLOW_CONNECTIONS true")
        }
        return warnings
    }
}
