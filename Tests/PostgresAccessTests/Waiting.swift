import PostgresAccess

/// Waits until `condition` holds, for at most two minutes; returns whether it came to hold.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// A script for the shell, as a stand-in for any child; `arguments` are its `$1`, `$2` and so on.
func shell(_ script: String, _ arguments: String..., secrets: [String] = []) -> ChildCommand {
    ChildCommand(
        "/bin/sh", arguments: ["-c", script, "sh"] + arguments, environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C"],
        secrets: secrets)
}
