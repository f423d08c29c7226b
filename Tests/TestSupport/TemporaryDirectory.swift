internal import FoundationEssentials
internal import Glibc

/// A directory of its own for one test, removed with everything in it when the last reference goes.
///
/// Keep it in a stored property of the suite, so that it lives as long as the test runs.
package final class TemporaryDirectory: Sendable {
    /// The absolute path, which every user can traverse.
    package let path: String

    /// Makes a new, empty directory.
    package init() throws {
        path = Leftovers.newPath("files")
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of `name` in the directory.
    package func path(of name: String) -> String { "\(path)/\(name)" }

    /// The content of the file `name`.
    package func read(_ name: String) throws -> [UInt8] {
        try Array(Data(contentsOf: URL(filePath: path(of: name))))
    }

    /// Makes or replaces the file `name`, and the folders it is in.
    package func write(_ bytes: [UInt8], to name: String) throws {
        let url = URL(filePath: path(of: name))
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }

    /// Makes or replaces the program `name`, a script, and the folders it is in.
    ///
    /// Another process writes it: what somebody has open for writing cannot be run, and children of this one that are
    /// just being started have for a moment open what it has.
    package func writeProgram(_ script: String, to name: String) throws {
        let (program, text) = (path(of: name), path(of: "\(name).text"))
        try write(Array(script.utf8), to: "\(name).text")
        guard unsafe system("cp '\(text)' '\(program)' && chmod 0755 '\(program)' && rm '\(text)'") == 0 else {
            throw ProgramNotWritten(path: program)
        }
    }

    /// The paths of all files and folders in the directory, relative to it and sorted.
    package func contents() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path).sorted()
    }
}

/// A script could not be put where it was to be run.
package struct ProgramNotWritten: Error {
    package let path: String
}
