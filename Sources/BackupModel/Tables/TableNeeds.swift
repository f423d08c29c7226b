/// An object that chosen tables refer to and that does not come along with them.
package struct NeededObject: Sendable, Hashable {
    /// The object as `pg_identify_object_as_address` names it: its type, and two arrays in PostgreSQL's text form.
    package var type: String
    package var names: String
    package var arguments: String
    /// What it is, for people: `type public.mood`.
    package var title: String
    /// Whether it is a table, a view or the like.
    package var isRelation: Bool
    /// The extension that makes it.
    package var extensionName: String?

    package init(
        type: String, names: String, arguments: String, title: String, isRelation: Bool, extensionName: String? = nil
    ) {
        self.type = type
        self.names = names
        self.arguments = arguments
        self.title = title
        self.isRelation = isRelation
        self.extensionName = extensionName
    }
}

/// What of a table acts on its rows, and without which it holds the same rows.
package struct TableAct: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case trigger, rule, policy
    }

    package var kind: Kind
    package var name: String
    /// The table, as SQL needs it.
    package var table: String

    package init(_ kind: Kind, _ name: String, on table: String) {
        self.kind = kind
        self.name = name
        self.table = table
    }

    /// The statement that takes it from its table.
    package var removal: String { "DROP \(kind.rawValue.uppercased()) \(quoteIdentifier(name)) ON \(table)" }

    fileprivate var title: String { "the \(kind.rawValue) '\(name)' of \(table)" }
}

/// Everything that chosen tables refer to outside themselves, and what of it a target lacks.
package struct TableNeeds: Sendable, Hashable {
    /// One reference: what refers, and to what.
    package struct Reference: Sendable, Hashable {
        /// For people: `column state of table public.orders`.
        package var user: String
        /// `nil` for what the table cannot be without.
        package var act: TableAct?
        package var object: NeededObject

        package init(user: String, act: TableAct? = nil, object: NeededObject) {
            self.user = user
            self.act = act
            self.object = object
        }
    }

    package var references: [Reference]
    /// The roles that policies are for.
    package var policyRoles: [TableAct: Set<String>]

    package init(references: [Reference], policyRoles: [TableAct: Set<String>] = [:]) {
        self.references = references
        self.policyRoles = policyRoles
    }

    /// The objects, each once.
    package var objects: [NeededObject] {
        var seen: Set<NeededObject> = []
        return references.map(\.object).filter { seen.insert($0).inserted }
    }

    /// What follows from what the target lacks.
    package struct Judgement: Sendable, Hashable {
        /// What the tables cannot be without and the target lacks, for people.
        package var missing: [String] = []
        /// What is left out, and why.
        package var leftOut: [TableAct: String] = [:]
    }

    /// What is left out, and what is missing.
    ///
    /// The target does not have the objects `absent`, nor the `labels` of enumerations, and it has the `roles`. A
    /// trigger, a rule or a policy is left out if anything that it refers to is missing; and if it refers to a relation
    /// that does not come along: no live table is to be one that a restored table depends on.
    package func judge(
        absent: Set<NeededObject>, labels: [NeededObject: String], roles: Set<String>
    ) -> Judgement {
        var judgement = Judgement()
        for reference in references {
            let object = reference.object
            if let act = reference.act {
                guard absent.contains(object) || object.isRelation, judgement.leftOut[act] == nil else { continue }
                judgement.leftOut[act] =
                    absent.contains(object)
                    ? "the target has no \(object.title)" : "it refers to the \(object.title), which is not chosen"
            } else if absent.contains(object) {
                judgement.addMissing(object.title + origin(of: object), for: reference.user)
            } else if let labels = labels[object] {
                judgement.addMissing("labels \(labels) of the \(object.title)", for: reference.user)
            }
        }
        for (act, names) in policyRoles {
            let missing = names.subtracting(roles).sorted()
            guard !missing.isEmpty, judgement.leftOut[act] == nil else { continue }
            judgement.leftOut[act] =
                "the target has no role \(missing.map { "'\($0)'" }.joined(separator: ", "))"
        }
        return judgement
    }

    private func origin(of object: NeededObject) -> String {
        object.extensionName.map { " (of the extension \($0))" } ?? ""
    }
}

extension TableNeeds.Judgement {
    /// Notes what is missing, once, with the first that needs it.
    fileprivate mutating func addMissing(_ title: String, for user: String) {
        guard !missing.contains(where: { $0 == title || $0.hasPrefix("\(title), for ") }) else { return }
        missing.append("\(title), for \(user)")
    }

    /// What is left out, for people, in the order of its names.
    package var remarks: [String] {
        leftOut.map { "\($0.key.title) is left out: \($0.value)" }.sorted()
    }

    /// Returns if the target has all that the tables cannot be without.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable``, with the list.
    package func requireNothingMissing(in database: String) throws(BackupError) {
        guard !missing.isEmpty else { return }
        throw BackupError(
            .targetUnsuitable, "The database '\(database)' lacks what the tables need.",
            reason: missing.joined(separator: "; "),
            remedy: "Create it there, with the names and schemas that are listed (what is of an extension, by CREATE "
                + "EXTENSION), or name a database that has it.")
    }
}
