package import BackupModel

/// How to reach a server: libpq's keywords and their values.
///
/// Holds the password, if there is one; ``redacted`` is the form for messages.
package struct ConnectionSettings: Sendable, Hashable {
    package private(set) var keywords: [String: String]
    /// Whether libpq's environment (`PGHOST` and so on) completes the keywords, for child processes too.
    private let inheritsEnvironment: Bool

    /// Reads a connection URL as it is found in the field, or a libpq keyword string; an empty text means libpq's
    /// defaults.
    package init(parsing text: String) throws(BackupError) {
        keywords = try parseConnectionText(text)
        inheritsEnvironment = true
    }

    /// The server on a Unix socket in `socketDirectory`, with nothing taken from the environment for child processes.
    init(socketDirectory: String, port: Int, user: String, database: String) {
        keywords = ["host": socketDirectory, "port": String(port), "user": user, "dbname": database]
        inheritsEnvironment = false
    }

    package var host: String? { keywords["host"] ?? keywords["hostaddr"] }
    package var port: String? { keywords["port"] }
    package var user: String? { keywords["user"] }
    package var database: String? { keywords["dbname"] }

    /// The same server with another database, whose name is taken literally.
    package func with(database: String) -> ConnectionSettings {
        var copy = self
        copy.keywords["dbname"] = database
        return copy
    }

    /// The same server without naming a database.
    package var withoutDatabase: ConnectionSettings {
        var copy = self
        copy.keywords["dbname"] = nil
        return copy
    }

    /// The environment variables that give these settings to a child process, the password among them.
    ///
    /// They include what libpq took from this process's own environment.
    package var environment: [String: String] {
        var variables: [String: String] = [:]
        for keyword in ConnectionKeyword.all() {
            guard let variable = keyword.environmentVariable else { continue }
            let inherited = inheritsEnvironment ? keyword.environmentValue : nil
            if let value = keywords[keyword.name] ?? inherited, !value.isEmpty { variables[variable] = value }
        }
        return variables
    }

    /// What a session that must not be ended by a time-out has as its `options`, if these settings give any.
    package var optionsWithoutTimeouts: String? {
        environment["PGOPTIONS"].map { $0 + Self.withoutTimeouts }
    }

    private static let withoutTimeouts =
        " -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"

    /// A keyword string for `--dbname=` with what ``environment`` cannot carry, and the database.
    ///
    /// Holds no secret. Any name of a database is taken literally, also one that looks like an option or a URL.
    package func conninfoWithoutSecrets(database: String? = nil) -> String {
        let withVariable = Set(ConnectionKeyword.all().filter { $0.environmentVariable != nil }.map(\.name))
        var parts = keywords.merging(Self.keepalives) { given, _ in given }
        parts = parts.filter { !withVariable.contains($0.key) && !secretKeywords.contains($0.key) }
        parts["dbname"] = database ?? self.database
        let pairs = parts.sorted { $0.key < $1.key }.map { "\($0.key)=\(quoteConninfoValue($0.value))" }
        return pairs.joined(separator: " ")
    }

    /// The secrets in these settings, for redaction.
    package var secrets: [String] { secretKeywords.compactMap { keywords[$0] }.filter { !$0.isEmpty } }

    /// `text` without the secrets of these settings.
    package func redact(_ text: String) -> String { redacting(text, secrets: secrets) }

    /// The settings as a URL without password, for messages.
    package var redacted: String {
        let places = host ?? ""
        let isSocket = places.hasPrefix("/") || places.hasPrefix("@")
        var url = "postgresql://"
        if let user { url += "\(percentEncoded(user))@" }
        if !isSocket { url += hostsWithPorts(places) }
        if let database { url += "/\(percentEncoded(database))" }
        var query: [String] = []
        if isSocket { query.append("host=\(percentEncoded(places, keeping: "/"))") }
        if isSocket, let port { query.append("port=\(port)") }
        if let service = keywords["service"] { query.append("service=\(percentEncoded(service))") }
        return query.isEmpty ? url : "\(url)\(database == nil ? "/" : "")?\(query.joined(separator: "&"))"
    }

    private func hostsWithPorts(_ places: String) -> String {
        let hosts = places.split(separator: ",", omittingEmptySubsequences: false)
        let ports = (port ?? "").split(separator: ",", omittingEmptySubsequences: false)
        return hosts.enumerated().map { index, host in
            let name = host.contains(":") ? "[\(host)]" : String(host)
            let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : ""
            return port.isEmpty ? name : "\(name):\(port)"
        }.joined(separator: ",")
    }

    /// These settings with the hosts alone that come after `host`; `nil` if there are none.
    func afterHost(_ host: String) -> ConnectionSettings? {
        let hosts = (self.host ?? "").split(separator: ",", omittingEmptySubsequences: false)
        guard let index = hosts.firstIndex(where: { $0 == host }), index + 1 < hosts.count else { return nil }
        var copy = self
        for name in ["host", "hostaddr", "port"] {
            let values = (keywords[name] ?? "").split(separator: ",", omittingEmptySubsequences: false)
            if values.count == hosts.count { copy.keywords[name] = values[(index + 1)...].joined(separator: ",") }
        }
        return copy
    }

    /// The keywords for a session of this program, or for one that speaks the replication protocol and runs no SQL.
    func sessionKeywords(
        applicationName: String, replication: Bool = false
    ) -> [(name: String, value: String)] {
        var values = keywords
        values["client_encoding"] = "UTF8"
        values["application_name"] = applicationName
        values["options"] = optionsWithoutTimeouts
        if replication {
            values["replication"] = "true"
            // The name under which a password file has such a connection's password.
            values["dbname"] = "replication"
            // A session that runs no SQL can turn its time-outs off in no other way.
            values["options"] = (environment["PGOPTIONS"] ?? "") + Self.withoutTimeouts + " -c idle_session_timeout=0"
        }
        values.merge(Self.keepalives) { given, _ in given }
        return values.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
    }

    /// A peer that is gone without a word is noticed within a minute.
    private static let keepalives = [
        "keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    ]
}

extension ConnectionSettings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { redacted }
    package var debugDescription: String { redacted }
    package var customMirror: Mirror { Mirror(self, children: ["url": redacted]) }
}

private let secretKeywords = ConnectionKeyword.all().filter(\.isSecret).map(\.name)

/// `text` with every secret replaced; secrets of one or two letters cannot be told from ordinary text.
package func redacting(_ text: String, secrets: [String]) -> String {
    var clean = text
    for secret in secrets.sorted(by: { $0.utf8.count > $1.utf8.count }) where secret.utf8.count > 2 {
        clean = clean.hiding(secret)
    }
    return clean
}

private func percentEncoded(_ text: String, keeping kept: String = "") -> String {
    var encoded = ""
    for scalar in text.unicodeScalars {
        let isPlain = !scalar.isASCII || scalar.properties.isAlphabetic || scalar.properties.numericType == .decimal
        if isPlain || "-._~\(kept)".unicodeScalars.contains(scalar) {
            encoded.unicodeScalars.append(scalar)
        } else {
            let hex = String(scalar.value, radix: 16, uppercase: true)
            encoded += "%\(hex.count == 1 ? "0" : "")\(hex)"
        }
    }
    return encoded
}
