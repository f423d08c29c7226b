/// The profiles of AWS's shared files: `~/.aws/config` and `~/.aws/credentials`.
package struct SharedAWSFiles: Sendable, Hashable {
    /// Settings by name, of each profile.
    package private(set) var profiles: [String: [String: String]] = [:]
    /// The paths of those that are there, by the variables that name them.
    package var places: [String: String] = [:]

    package init() {}

    /// Reads the text of the configuration file, in which profiles are `[default]` and `[profile NAME]`.
    package mutating func add(configuration text: some StringProtocol) {
        add(text) { section in
            if section == "default" { return "default" }
            guard section.hasPrefix("profile "), let name = section.split(separator: " ").dropFirst().first else {
                return nil
            }
            return name.trimmed(of: "\"'")
        }
    }

    /// Reads the text of the credentials file, in which profiles are `[NAME]`; what it says holds before what the
    /// configuration says.
    package mutating func add(credentials text: some StringProtocol) { add(text) { String($0) } }

    private mutating func add(_ text: some StringProtocol, profile: (Substring) -> String?) {
        var current: String?
        for line in text.split(whereSeparator: \.isNewline) {
            let content = Substring(line)
            // A line that is set in belongs to the setting above: settings of services, which are not read here.
            guard let first = content.first, !first.isWhitespace, first != "#", first != ";" else { continue }
            if first == "[" {
                let name = content.dropFirst().prefix { $0 != "]" }
                current = profile(Substring(String(name).trimmed(of: " \t")))
                if let current, profiles[current] == nil { profiles[current] = [:] }
            } else if let current, let equals = content.firstIndex(of: "=") {
                let name = String(content[..<equals]).trimmed(of: " \t").lowercased()
                let value = Self.value(String(content[content.index(after: equals)...]))
                profiles[current, default: [:]][name] = value
            }
        }
    }

    /// A comment begins with a space and `#` or `;`: a secret may hold either.
    private static func value(_ text: String) -> String {
        var rest = text.trimmed(of: " \t")
        for mark in [" #", " ;", "\t#", "\t;"] {
            if let comment = rest.firstRange(of: mark) { rest = String(rest[..<comment.lowerBound]) }
        }
        return rest.trimmed(of: " \t\r")
    }
}

extension StringProtocol {
    /// The text without those of `characters` that it begins or ends with.
    func trimmed(of characters: String) -> String {
        var rest = Substring(self)
        while let first = rest.first, characters.contains(first) { rest.removeFirst() }
        while let last = rest.last, characters.contains(last) { rest.removeLast() }
        return String(rest)
    }
}
