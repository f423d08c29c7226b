import BackupModel

/// Reads a connection URL or keyword string into libpq's keywords.
///
/// Messages never repeat the text, which may hold a password.
func parseConnectionText(_ text: String) throws(BackupError) -> [String: String] {
    let trimmed = text.trimmingWhitespace()
    guard !trimmed.isEmpty else { return [:] }
    guard !trimmed.utf8.contains(0) else { throw invalid("it holds a zero byte", "Remove the zero byte.") }
    let conninfo: String
    if let url = try ConnectionURL(trimmed) {
        conninfo = try url.normalized()
    } else {
        guard trimmed.contains("=") else {
            throw invalid(
                "it is neither a postgresql:// URL nor keyword=value pairs",
                "Write postgresql://USER@HOST:PORT/DATABASE or host=HOST dbname=DATABASE.")
        }
        conninfo = trimmed
    }
    try requireLibPQ()
    let keywords: [String: String]
    do throws(ConninfoFailure) {
        keywords = try parseConninfo(conninfo)
    } catch {
        throw invalid(withoutQuotedText(error.message), "Write special characters of a password as %XX in a URL.")
    }
    try checkPlausible(keywords)
    return keywords
}

/// A URL whose scheme is PostgreSQL's, split where libpq splits it.
private struct ConnectionURL {
    private let authority: Substring
    private let path: Substring
    private let parameters: [Substring]

    /// Returns `nil` if `text` is no URL at all.
    init?(_ text: String) throws(BackupError) {
        guard let match = text.prefixMatch(of: /([A-Za-z][A-Za-z0-9+.\-_]*):\/\//) else { return nil }
        let scheme = match.1.lowercased()
        let base = scheme.prefix { $0 != "+" }
        guard base == "postgresql" || base == "postgres" else {
            throw invalid("'\(scheme)' is not PostgreSQL's scheme", "Write postgresql://USER@HOST:PORT/DATABASE.")
        }
        // A user and password end at the first @ that comes before any slash; a ? before it belongs to them.
        let rest = text[match.range.upperBound...]
        let beforeSlash = rest.prefix { $0 != "/" }
        let userEnd = beforeSlash.firstIndex(of: "@").map(rest.index(after:)) ?? rest.startIndex
        let query = rest[userEnd...].firstIndex(of: "?") ?? rest.endIndex
        let pathStart = rest[userEnd..<query].firstIndex(of: "/") ?? query
        authority = rest[..<pathStart]
        path = rest[pathStart..<query]
        parameters = query == rest.endIndex ? [] : rest[rest.index(after: query)...].split(separator: "&")
        if rest[userEnd..<pathStart].contains("@") {
            throw invalid("there are two '@' before the database", "Write an '@' in the password as %40.")
        }
    }

    /// The URL as libpq reads it: without a driver in its scheme, parameters of other drivers translated.
    func normalized() throws(BackupError) -> String {
        let known = Set(ConnectionKeyword.all().map(\.name))
        var translated: [String] = []
        for parameter in parameters {
            let key = parameter.prefix { $0 != "=" }
            if key == "ssl" {
                translated.append("sslmode=\(try sslMode(parameter.dropFirst(key.count + 1)))")
            } else if known.contains(String(key)) {
                translated.append(String(parameter))
            } else {
                throw invalid(
                    "'\(key)' is no parameter that libpq knows",
                    "Remove '\(key)' from the URL: it is for another driver and has no meaning for PostgreSQL's tools.")
            }
        }
        let query = translated.isEmpty ? "" : "?\(translated.joined(separator: "&"))"
        return "postgresql://\(authority)\(path)\(query)"
    }

    /// What asyncpg and others call `ssl`.
    private func sslMode(_ value: Substring) throws(BackupError) -> String {
        switch value {
        case "true": "require"
        case "false": "disable"
        case "disable", "allow", "prefer", "require", "verify-ca", "verify-full": String(value)
        default:
            throw invalid(
                "'ssl' has a value that is no sslmode",
                "Write ssl=disable, allow, prefer, require, verify-ca or verify-full.")
        }
    }
}

/// Refuses what can only come from a password with unescaped characters, before a message could quote it.
private func checkPlausible(_ keywords: [String: String]) throws(BackupError) {
    if let port = keywords["port"] {
        let numbers = port.split(separator: ",", omittingEmptySubsequences: false)
        guard numbers.allSatisfy({ $0.isEmpty || (UInt16($0) ?? 0) > 0 }) else {
            throw invalid(
                "the port is not a number from 1 to 65535",
                "Check the port; in a URL, write '/', ':' and '@' in the password as %2F, %3A and %40.")
        }
    }
    for keyword in ConnectionKeyword.all()
    where keyword.isSecret && keyword.environmentVariable == nil && keywords[keyword.name] != nil {
        throw invalid(
            "'\(keyword.name)' cannot be handed to PostgreSQL's tools without showing it to others",
            "Use a key without pass phrase, readable by this user alone.")
    }
}

/// libpq's message without anything in quotation marks but the names of keywords: it quotes the text it cannot read.
private func withoutQuotedText(_ message: String) -> String {
    let known = Set(ConnectionKeyword.all().map(\.name))
    let line = message.trimmingWhitespace()
    if let match = line.wholeMatch(of: /[^"]*"([^"]*)"[^"]*/), known.contains(String(match.1)) { return line }
    guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\"") else { return line }
    return "\(line[..<first])(not shown)\(line[line.index(after: last)...])"
}

private func invalid(_ reason: String, _ remedy: String) -> BackupError {
    BackupError(.settings, "The connection settings cannot be read.", reason: reason, remedy: remedy)
}

extension String {
    fileprivate func trimmingWhitespace() -> String {
        let start = drop(while: \.isWhitespace)
        return String(start.reversed().drop(while: \.isWhitespace).reversed())
    }
}
