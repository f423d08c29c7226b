/// How long backups stay: each is kept while any rule keeps it.
package struct RetentionPolicy: Sendable, Hashable {
    /// How many of the newest undamaged backups always stay; with fewer of them, damaged ones stay as well.
    package var minimum = 2
    /// How many of the newest undamaged backups stay.
    package var keepLast: Int?
    /// How many days every backup stays, damaged ones too.
    package var days: Int?
    /// The newest undamaged backup stays of as many of the last days, ISO weeks, months and years that have one.
    package var daily = 0
    package var weekly = 0
    package var monthly = 0
    package var yearly = 0

    package init(
        minimum: Int = 2, keepLast: Int? = nil, days: Int? = nil, daily: Int = 0, weekly: Int = 0, monthly: Int = 0,
        yearly: Int = 0
    ) {
        self.minimum = minimum
        self.keepLast = keepLast
        self.days = days
        self.daily = daily
        self.weekly = weekly
        self.monthly = monthly
        self.yearly = yearly
    }

    /// Whether any rule lets a backup expire.
    package var hasRule: Bool {
        (keepLast ?? 0) > 0 || (days ?? 0) > 0 || CalendarPeriod.allCases.contains { slots($0) > 0 }
    }

    /// Decides about each backup.
    ///
    /// The rules hold by themselves for each kind, system identifier and scope, so that a backup that was taken of one
    /// database by hand does not make those of all expire. Held backups, the `minimum` newest undamaged ones,
    /// the newest verified and the newest undamaged one never expire. Damaged ones fill no slot and no count.
    package func plan(for backups: [RetentionCandidate], at now: Timestamp) -> RetentionPlan {
        let groups = Dictionary(grouping: backups) {
            Group(kind: $0.kind, systemIdentifier: $0.systemIdentifier, scope: $0.scope)
        }
        let reasons = groups.values.reduce(into: [RunID: [KeepReason]]()) { all, group in
            all.merge(self.reasons(for: group, at: now)) { $0 + $1 }
        }
        var plan = RetentionPlan()
        for backup in backups.sorted(by: RetentionCandidate.isOlder) {
            if let reasons = reasons[backup.id], !reasons.isEmpty {
                plan.kept.append(.init(candidate: backup, reasons: reasons))
            } else {
                plan.expired.append(.init(candidate: backup, reason: expiryReason(for: backup)))
            }
        }
        return plan
    }
}

extension RetentionPolicy {
    private struct Group: Hashable {
        var kind: BackupKind
        var systemIdentifier: String
        var scope: String
    }

    private func slots(_ period: CalendarPeriod) -> Int {
        switch period {
        case .daily: daily
        case .weekly: weekly
        case .monthly: monthly
        case .yearly: yearly
        }
    }

    private func reasons(for group: [RetentionCandidate], at now: Timestamp) -> [RunID: [KeepReason]] {
        let newestFirst = group.sorted { RetentionCandidate.isOlder($1, $0) }
        let undamaged = newestFirst.filter { !$0.isDamaged }
        var reasons: [RunID: [KeepReason]] = [:]
        func keep(_ backups: some Sequence<RetentionCandidate>, _ reason: KeepReason) {
            for backup in backups { reasons[backup.id, default: []].append(reason) }
        }
        for backup in group where backup.isHeld { keep([backup], .held(reason: backup.holdReason)) }
        guard hasRule else {
            keep(group, .noRule)
            return reasons
        }
        if let days, days > 0 {
            let limit = now.advanced(by: .seconds(-86_400 * Int64(days)))
            keep(newestFirst.prefix { $0.startedAt >= limit }, .recent(days: days))
        }
        if let keepLast, keepLast > 0 { keep(undamaged.prefix(keepLast), .counted(limit: keepLast)) }
        for period in CalendarPeriod.allCases {
            for (name, backup) in newestOfEach(period, in: undamaged) { keep([backup], .slot(period, name: name)) }
        }
        // With too few undamaged ones, the newest damaged ones stay beside them: they may be all there is.
        keep((undamaged + newestFirst.filter(\.isDamaged)).prefix(max(0, minimum)), .minimum(minimum))
        keep(undamaged.filter(\.isVerified).prefix(1), .newestVerified)
        keep(undamaged.prefix(1), .newestUndamaged)
        return reasons
    }

    private func newestOfEach(
        _ period: CalendarPeriod, in newestFirst: [RetentionCandidate]
    ) -> [(name: String, backup: RetentionCandidate)] {
        var newest: [(name: String, backup: RetentionCandidate)] = []
        for backup in newestFirst where newest.count < slots(period) {
            let name = period.name(of: backup.startedAt)
            if newest.last?.name != name { newest.append((name, backup)) }
        }
        return newest
    }

    private func expiryReason(for backup: RetentionCandidate) -> String {
        var parts: [String] = []
        if let days, days > 0 { parts.append("older than \(days) days") }
        if backup.isDamaged {
            parts.append("damaged, so that no other rule keeps it")
            return parts.joined(separator: ", ")
        }
        if let keepLast, keepLast > 0 { parts.append("not among the \(keepLast) newest") }
        let periods = CalendarPeriod.allCases.filter { slots($0) > 0 }.map(\.rawValue)
        if let last = periods.last {
            let all = periods.count == 1 ? last : "\(periods.dropLast().joined(separator: ", ")) or \(last)"
            parts.append("in no \(all) slot")
        }
        return parts.joined(separator: ", ")
    }
}
