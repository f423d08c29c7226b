/// The script of `pg_dumpall --globals-only`: roles, memberships, tablespaces.
package struct GlobalsScript: Sendable {
    private let statements: [(text: String, meaning: GlobalsStatement)]

    /// Reads a whole script, its trailer included.
    package init(parsing script: Span<UInt8>) throws(BackupError) {
        var trailer = DumpTrailer()
        trailer.consume(script)
        guard trailer.isComplete(.cluster) else {
            throw BackupError(
                .dumpIncomplete, "The dump of roles and tablespaces is not complete.",
                reason: "it does not end with '-- PostgreSQL database cluster dump complete'",
                remedy: "Restore from another backup, or restore without roles.")
        }
        statements = try SQLScript(parsing: script).elements.compactMap { element in
            guard case .statement(let text) = element else { return nil }
            return (text, GlobalsStatement(classifying: text))
        }
    }

    /// The roles the script creates, in its order.
    package var roles: [String] {
        statements.compactMap { if case .createRole(let name) = $0.meaning { name } else { nil } }
    }

    /// The tablespaces the script creates, in its order.
    package var tablespaces: [GlobalsPlan.Tablespace] {
        statements.compactMap {
            guard case .createTablespace(let name, let owner, let location) = $0.meaning else { return nil }
            return GlobalsPlan.Tablespace(name: name, owner: owner, location: location)
        }
    }

    /// What a server lacks of this script.
    ///
    /// What exists there is never altered; tablespaces are never created.
    package func plan(existingRoles: Set<String>, existingTablespaces: Set<String>) -> GlobalsPlan {
        let context = PlanContext(
            existingRoles: existingRoles, newRoles: Set(roles).subtracting(existingRoles),
            existingTablespaces: existingTablespaces)
        var plan = GlobalsPlan()
        var settings: [GlobalsPlan.Statement] = []
        for (text, meaning) in statements {
            let label = Self.label(of: meaning)
            switch context.decide(meaning) {
            case .set: settings.append(.init(sql: text, label: label))
            case .run(let replacement): plan.statements.append(.init(sql: replacement ?? text, label: label))
            case .skip(let reason): plan.skipped.append(.init(label: label, reason: reason))
            }
        }
        plan.rolesToCreate = roles.filter { !existingRoles.contains($0) }
        if !plan.statements.isEmpty { plan.statements = settings + plan.statements }
        plan.missingTablespaces = tablespaces.filter { !existingTablespaces.contains($0.name) }
        return plan
    }

    /// Says what a statement is for, and nothing of its text: it may hold a password.
    private static func label(of meaning: GlobalsStatement) -> String {
        switch meaning {
        case .sessionSetting: "session setting"
        case .createRole(let name): "role \(quoted(name))"
        case .alterRole(let name): "attributes of role \(quoted(name))"
        case .alterRoleSet(let name, nil): "settings of role \(quoted(name))"
        case .alterRoleSet(let name, let database?): "settings of role \(quoted(name)) in database \(quoted(database))"
        case .describeRole(let name): "comment or label of role \(quoted(name))"
        case .grantMembership(let group, let member, _): "membership of role \(quoted(member)) in \(quoted(group))"
        case .grantParameter(let role): "parameter right of role \(quoted(role))"
        case .createTablespace(let name, _, _): "tablespace \(quoted(name))"
        case .describeTablespace(let name): "settings, rights or comment of tablespace \(quoted(name))"
        case .other: "statement of another kind"
        }
    }
}

/// What to run of a globals script on one server, and what not.
package struct GlobalsPlan: Sendable, Hashable {
    /// A statement to run.
    package struct Statement: Sendable, Hashable {
        /// Its text, which may hold a password: never print it.
        package var sql: String
        /// What it is for, for messages.
        package var label: String
    }

    /// A statement that is not run.
    package struct Skipped: Sendable, Hashable {
        package var label: String
        package var reason: String
    }

    /// A tablespace of the server that was dumped.
    package struct Tablespace: Sendable, Hashable {
        package var name: String
        package var owner: String?
        package var location: String
    }

    /// What to run, in this order, in one session.
    package var statements: [Statement] = []
    package var skipped: [Skipped] = []
    /// The roles that these statements create.
    package var rolesToCreate: [String] = []
    /// What the server lacks and is not made: the place for it has to be chosen by someone.
    package var missingTablespaces: [Tablespace] = []
}

/// What the target has, and what of a script it therefore takes.
private struct PlanContext {
    var existingRoles: Set<String>
    var newRoles: Set<String>
    var existingTablespaces: Set<String>

    enum Decision {
        case set
        case run(instead: String? = nil)
        case skip(String)
    }

    func decide(_ meaning: GlobalsStatement) -> Decision {
        switch meaning {
        case .sessionSetting: return .set
        case .createRole(let name), .describeRole(let name), .alterRole(let name), .alterRoleSet(let name, nil),
            .grantParameter(let name):
            return decide(forRole: name)
        case .alterRoleSet(_, _?): return .skip("settings in a database are restored with the database")
        case .grantMembership(let group, let member, let statement):
            for role in [group, member] where !existingRoles.contains(role) && !newRoles.contains(role) {
                return .skip("role \(quoted(role)) does not exist on the target")
            }
            guard newRoles.contains(group) || newRoles.contains(member) else {
                return .skip("both roles exist on the target")
            }
            return .run(instead: statement)
        case .createTablespace(let name, _, _), .describeTablespace(let name):
            return .skip(
                existingTablespaces.contains(name)
                    ? "the tablespace exists on the target" : "tablespaces are not created by a restore")
        case .other: return .skip("only roles, memberships and parameter rights are restored")
        }
    }

    private func decide(forRole name: String) -> Decision {
        if newRoles.contains(name) { return .run() }
        return .skip(
            existingRoles.contains(name)
                ? "the role exists on the target" : "role \(quoted(name)) does not exist on the target")
    }
}

private func quoted(_ name: String) -> String { "\"\(name)\"" }
