import BackupModel
import PostgresAccess

/// Sets what isolates a drill's server, and asks the running server for it.
struct DrillIsolation: Sendable {
    /// The server's scratch directory.
    let directory: String
    let major: Int

    private var settings: [IsolationSetting] { IsolationSetting.all(ofMajor: major) }

    /// The settings to start the server with.
    var configuration: [String: String] {
        Dictionary(uniqueKeysWithValues: settings.map { ($0.name, $0.value(in: directory)) })
    }

    /// Returns what the server says of each setting, with what follows from it.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable`` if one has another value than it was given.
    func prove(in session: PostgresSession) async throws -> [String] {
        var answers: [String: String] = [:]
        for row in try await session.query("SELECT name, setting FROM pg_catalog.pg_settings").rows {
            if let name = row[0], let setting = row[1] { answers[name] = setting }
        }
        return try judge(answers)
    }

    /// The lines for the report, if every setting in `answers` is as it must be.
    func judge(_ answers: [String: String]) throws(BackupError) -> [String] {
        let wrong = settings.filter { !$0.holds(answers[$0.name], in: directory) }
        guard wrong.isEmpty else {
            throw BackupError(
                .targetUnsuitable, "The drill's server is not isolated.",
                reason: wrong.map {
                    let answer = answers[$0.name].map { "is '\($0)'" } ?? "is not known to it"
                    return "\($0.name) \(answer) and must be '\($0.value(in: directory))', so that \($0.why)"
                }.joined(separator: "; "),
                remedy: "Find out what sets it otherwise, and remove that.",
                unchanged: "Nothing was restored.")
        }
        return settings.map { "\($0.name) = '\(answers[$0.name] ?? "")': \($0.why)" }
    }
}
