/// A program to run: everything it gets, nothing is inherited.
package struct ChildCommand: Sendable {
    /// The absolute path of the program.
    package var executable: String
    package var arguments: [String]
    /// The whole environment.
    package var environment: [String: String]
    package var workingDirectory: String?
    /// The user to run as, when this program is root.
    package var userName: String?
    /// Whether the kernel sends it SIGQUIT when this program dies, where setpriv(1) is installed.
    var quitsWithThisProgram = false
    /// What must not appear in what is kept of the program's error output.
    package var secrets: [String]

    package init(
        _ executable: String, arguments: [String] = [], environment: [String: String] = [:],
        workingDirectory: String? = nil, userName: String? = nil, secrets: [String] = []
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.userName = userName
        self.secrets = secrets
    }

    /// The program's name, for messages.
    package var name: String { executable.split(separator: "/").last.map(String.init) ?? executable }

    /// The part of `environment` that a program needs to run as usual: search path, home, language and time zone.
    package static func environment(inheritedFrom environment: [String: String]) -> [String: String] {
        let names: Set = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"]
        return environment.filter { names.contains($0.key) || $0.key.hasPrefix("LC_") }
    }
}

/// What a child's standard input is.
package enum ChildInput: Sendable {
    /// Nothing: it reads the end at once.
    case none
    /// A pipe whose other end is given to the body.
    case pipe
}

/// What becomes of a child's standard output.
package enum ChildOutput: Sendable {
    case discarded
    /// A pipe whose other end is given to the body.
    case pipe
}

/// How a child ended.
package struct ChildOutcome: Sendable, Hashable {
    package enum Status: Sendable, Hashable {
        case exited(Int32)
        case signalled(Int32)
    }

    package var status: Status
    /// The last 16 KiB of its error output, without secrets.
    package var standardErrorTail: String
    package var duration: Duration

    package init(status: Status, standardErrorTail: String, duration: Duration) {
        self.status = status
        self.standardErrorTail = standardErrorTail
        self.duration = duration
    }

    package var isSuccess: Bool { status == .exited(0) }
}

/// How a child ended, and what the body that worked with it made.
package struct ChildResult<Value: Sendable>: Sendable {
    package var outcome: ChildOutcome
    package var body: Result<Value, any Error>
    /// Whether the body failed because the child, of its own accord, had ended and no longer read its input.
    package var childStoppedReading: Bool

    /// What the body made.
    ///
    /// - Throws: the body's error, unless it is only the broken pipe of a child that failed; else the child's failure.
    package func value(of command: ChildCommand) throws -> Value {
        if case .failure(let error) = body, !childStoppedReading { throw error }
        try requireSuccess(outcome, of: command)
        return try body.get()
    }
}
