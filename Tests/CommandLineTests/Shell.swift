import TestSupport
import Testing

/// Runs a script that ends at its first failure; it must succeed.
func shell(_ script: String, _ arguments: String...) async throws {
    let output = try await CommandLineTool(executable: "/bin/sh").run(["-ec", script, "sh"] + arguments)
    try #require(output.status == 0, "\(output.standardError)")
}

/// The path of the checkout that these tests are in.
let checkout = #filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/\($1)" }
