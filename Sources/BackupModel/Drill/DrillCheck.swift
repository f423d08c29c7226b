/// One question to the restored server, whose answer is part of the drill's verdict if the check is gating.
package struct DrillCheck: Sendable, Hashable {
    /// The name that no other check of the drill has.
    package var id: String
    /// What is asked.
    package var question: Question
    /// Whether the drill fails when the check does, and whether the recovery time lasts until it is done.
    ///
    /// A check that does not gate is advisory: its failure is a finding in the report.
    package var isGating: Bool
    /// The longest time it may take; without an answer by then it has failed, as the policy expects one in time.
    package var timeout: Duration
    /// The database it is asked of; `nil` means every restored one, and for a statement or a program the one that is
    /// not `postgres`.
    package var database: String?

    /// The time a check may take unless its policy says otherwise.
    package static let defaultTimeout: Duration = .seconds(120)

    /// Makes a check; whether it gates is decided by its kind unless it is given.
    package init(
        id: String, _ question: Question, isGating: Bool? = nil, timeout: Duration = Self.defaultTimeout,
        database: String? = nil
    ) {
        self.id = id
        self.question = question
        self.isGating = isGating ?? question.kind.gatesByDefault
        self.timeout = timeout
        self.database = database
    }
}

extension DrillCheck {
    /// What is asked.
    package enum Question: Sendable, Hashable {
        /// Does each table have the rows that the backup's manifest counted? `nil` means every table.
        case rows(tables: [String]?)
        /// Does the statement's one value meet the expectation?
        case sql(String, Expectation)
        /// Is the schema the one that the manifest has a fingerprint of?
        case structure
        /// Are all roles there that the backup holds?
        case roles
        /// Are all extensions there, in the version that the manifest names?
        case extensions
        /// Is every sequence where the manifest saw it, and not behind its column?
        case sequences
        /// Are the B-tree indexes sound? `heapAllIndexed` also looks up every row in them.
        case amcheck(heapAllIndexed: Bool)
        /// Does the URL answer with the status?
        case http(url: String, status: Int)
        /// Does the program end with the status?
        case command(DrillCommand, exitStatus: Int32)
        /// Did replay end exactly where it was planned to?
        case replay
        /// Is the last transaction before the target there, and the first one behind it not?
        case boundary

        /// The kind of question.
        package var kind: Kind {
            switch self {
            case .rows: .rows
            case .sql: .sql
            case .structure: .structure
            case .roles: .roles
            case .extensions: .extensions
            case .sequences: .sequences
            case .amcheck: .amcheck
            case .http: .http
            case .command: .command
            case .replay: .replay
            case .boundary: .boundary
            }
        }

        /// What is expected, as the report states it.
        package var expectation: Expectation {
            switch self {
            case .rows, .structure, .roles, .extensions, .sequences: .asInManifest
            case .sql(_, let expectation): expectation
            case .amcheck: .equal(.number("0"))
            case .http(_, let status): .status(status)
            case .command(_, let status): .exit(status)
            case .replay, .boundary: .equal(.number("0"))
            }
        }
    }

    /// The kinds of questions, by the words of policies and reports.
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// Row counts.
        case rows
        /// An SQL statement.
        case sql
        /// The schema.
        case structure
        /// Roles.
        case roles
        /// Extensions.
        case extensions
        /// Sequences.
        case sequences
        /// Indexes.
        case amcheck
        /// An HTTP request.
        case http
        /// A program.
        case command
        /// The end of the replay.
        case replay = "replay_complete"
        /// The transactions on both sides of the target.
        case boundary

        /// Whether a check of this kind gates unless its policy says otherwise: all do but `amcheck`, which reads all
        /// data, may not be installed, and would make the recovery time longer.
        package var gatesByDefault: Bool { self != .amcheck }

        /// The kinds of backups of whose restore it can be asked.
        ///
        /// What a manifest says of tables, roles and extensions only that of dumps does.
        package var backupKinds: Set<BackupKind> {
            switch self {
            case .rows, .structure, .roles, .extensions, .sequences: [.logical]
            case .replay, .boundary: [.physical]
            case .sql, .amcheck, .http, .command: [.logical, .physical]
            }
        }
    }
}

/// A program that a check runs, without a shell.
package struct DrillCommand: Sendable, Hashable {
    /// The value of an environment variable.
    package enum Value: Sendable, Hashable {
        /// A text in which `{{target.url}}` stands for the restored server's URL.
        case text(String)
        /// A secret.
        case secret(SecretReference)
    }

    /// The program and its arguments.
    package var arguments: [String]
    /// Variables of its environment, by name.
    package var environment: [String: Value]

    /// The variable in which every command finds the restored server's URL, unless its policy sets it.
    package static let targetURLVariable = "APEX_DATABASE_URL"
    /// What stands for the restored server's URL in the value of a variable.
    package static let targetURLPlaceholder = "{{target.url}}"

    /// Makes a command.
    package init(arguments: [String], environment: [String: Value] = [:]) {
        self.arguments = arguments
        self.environment = environment
    }

    /// The variables to set for a server at `targetURL`.
    package func environment(
        targetURL: String, secrets: SecretSource
    ) throws(BackupError) -> [String: String] {
        var variables = [Self.targetURLVariable: targetURL]
        for (name, value) in environment {
            variables[name] =
                switch value {
                case .text(let text): text.replacing(Self.targetURLPlaceholder, with: targetURL)
                case .secret(let reference): try reference.resolve(from: secrets)
                }
        }
        return variables
    }
}
