import PostgresAccess

/// A script for the shell, as a stand-in for any child; `arguments` are its `$1`, `$2` and so on.
func shell(_ script: String, _ arguments: String..., secrets: [String] = []) -> ChildCommand {
    ChildCommand(
        "/bin/sh", arguments: ["-c", script, "sh"] + arguments, environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C"],
        secrets: secrets)
}
