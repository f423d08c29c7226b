/// Where a secret is kept: an environment variable or a file.
///
/// The secret itself never stands in a policy.
package enum SecretReference: Sendable, Hashable, CustomStringConvertible {
    /// `env:NAME`.
    case environment(String)
    /// `file:/PATH`.
    case file(String)

    /// Returns `nil` unless `text` is `env:` and the name of a variable, or `file:` and an absolute path.
    package init?(parsing text: some StringProtocol) {
        if text.hasPrefix("env:") {
            let name = text.dropFirst(4)
            guard let first = name.utf8.first, !Self.isDigit(first), name.utf8.allSatisfy(Self.isNameByte) else {
                return nil
            }
            self = .environment(String(name))
        } else if text.hasPrefix("file:") {
            let path = text.dropFirst(5)
            guard path.hasPrefix("/"), !path.hasPrefix("//"), path.utf8.count > 1, !path.utf8.contains(0) else {
                return nil
            }
            self = .file(String(path))
        } else {
            return nil
        }
    }

    /// The reference as it is written in a policy.
    package var description: String {
        switch self {
        case .environment(let name): "env:\(name)"
        case .file(let path): "file:\(path)"
        }
    }

    /// The secret, without the line feed that ends a file.
    ///
    /// - Throws: `settings` if the variable is not set, or the secret is empty; what `source` throws for a file.
    package func resolve(from source: SecretSource) throws(BackupError) -> String {
        switch self {
        case .environment(let name):
            guard let value = source.environment(name) else {
                throw BackupError(
                    .settings, "The environment variable \(name) is not set; the settings take a secret from it.",
                    remedy: "Set \(name), or change the reference 'env:\(name)'.")
            }
            return try Self.nonEmpty(value, of: "The environment variable \(name)")
        case .file(let path):
            var value = try source.readFile(path)
            if value.last == "\n" || value.last == "\r\n" { value.removeLast() }
            return try Self.nonEmpty(value, of: "The file '\(path)'")
        }
    }

    private static func nonEmpty(_ value: String, of place: String) throws(BackupError) -> String {
        guard !value.isEmpty else {
            throw BackupError(
                .settings, "\(place) is empty; the settings take a secret from it.",
                remedy: "Put the secret there, or change the reference.")
        }
        return value
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
}

/// The two places from which secrets are read, passed in by the executable.
package struct SecretSource: Sendable {
    /// The value of an environment variable, or `nil` if it is not set.
    package var environment: @Sendable (String) -> String?
    /// The text of a file.
    package var readFile: @Sendable (String) throws(BackupError) -> String

    /// Reads secrets through `environment` and `readFile`.
    package init(
        environment: @escaping @Sendable (String) -> String?,
        readFile: @escaping @Sendable (String) throws(BackupError) -> String
    ) {
        self.environment = environment
        self.readFile = readFile
    }
}
