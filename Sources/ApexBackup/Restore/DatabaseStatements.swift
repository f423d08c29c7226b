import BackupModel
import PostgresAccess

extension DatabaseProperties {
    /// The statements that give a database `name` its settings, grants, comment and limit, each with the role it needs.
    func statements(for name: String) -> [(sql: String, role: String?)] {
        let database = quoteIdentifier(name)
        var statements: [(sql: String, role: String?)] = settings.compactMap { setting in
            guard let literal = setting.literal else { return nil }
            let subject =
                setting.role.map { "ROLE \(quoteIdentifier($0)) IN DATABASE \(database)" } ?? "DATABASE \(database)"
            return ("ALTER \(subject) SET \(quoteIdentifier(setting.name)) TO \(literal)", setting.role)
        }
        if let grants {
            statements.append(("REVOKE ALL ON DATABASE \(database) FROM PUBLIC", nil))
            for grant in grants {
                let grantee = grant.grantee.isEmpty ? "PUBLIC" : quoteIdentifier(grant.grantee)
                let option = grant.grantable ? " WITH GRANT OPTION" : ""
                statements.append(
                    (
                        "GRANT \(quoteIdentifier(grant.privilege.lowercased())) ON DATABASE \(database) TO \(grantee)\(option)",
                        grant.grantee.isEmpty ? nil : grant.grantee
                    ))
            }
        }
        if let comment { statements.append(("COMMENT ON DATABASE \(database) IS \(quoteLiteral(comment))", nil)) }
        if connectionLimit != -1 {
            statements.append(("ALTER DATABASE \(database) CONNECTION LIMIT \(connectionLimit)", nil))
        }
        return statements
    }

    /// The names of settings that no statement can give: what is stored for them is no list.
    var unreadableSettings: [String] { settings.filter { $0.literal == nil }.map(\.name) }

    /// The roles that the properties name.
    var roles: Set<String> {
        Set([owner] + settings.compactMap(\.role) + (grants ?? []).map(\.grantee).filter { !$0.isEmpty })
    }
}

extension DatabaseProperties.Setting {
    /// Parameters that are lists of names (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c), and whether PostgreSQL folds
    /// the case of names without quotes in them.
    private static let lists = [
        "local_preload_libraries": false, "search_path": true, "session_preload_libraries": false,
        "shared_preload_libraries": false, "temp_tablespaces": true, "unix_socket_directories": false,
    ]

    /// The value as SQL; `nil` for a list that cannot be read.
    ///
    /// A list is stored as it was given where `FROM CURRENT` set it: nothing of it may stand in a statement as it is.
    fileprivate var literal: String? {
        guard let foldsCase = Self.lists[name] else { return quoteLiteral(value) }
        guard let names = listedNames(in: value, foldingCase: foldsCase) else { return nil }
        return names.isEmpty ? "''" : names.map(quoteLiteral).joined(separator: ", ")
    }
}

/// The names in a list that a setting holds, as PostgreSQL reads it; `nil` where it could not.
func listedNames(in text: String, foldingCase: Bool) -> [String]? {
    let (quote, comma) = (UInt8(ascii: "\""), UInt8(ascii: ","))
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    var rest = Array(text.utf8).drop(while: isSpace)
    var names: [String] = []
    guard !rest.isEmpty else { return names }
    while true {
        var name: [UInt8] = []
        if rest.first == quote {
            rest.removeFirst()
            while let end = rest.firstIndex(of: quote), rest.dropFirst(end + 1 - rest.startIndex).first == quote {
                name += rest[...end]
                rest = rest[(end + 2)...]
            }
            guard let end = rest.firstIndex(of: quote) else { return nil }
            name += rest[..<end]
            rest = rest[(end + 1)...]
        } else {
            name = rest.prefix { $0 != comma && !isSpace($0) }.map { byte in
                foldingCase && (0x41...0x5A).contains(byte) ? byte + 0x20 : byte
            }
            guard !name.isEmpty else { return nil }
            rest = rest.dropFirst(name.count)
        }
        names.append(String(decoding: name, as: UTF8.self))
        rest = rest.drop(while: isSpace)
        guard let next = rest.first else { return names }
        guard next == comma else { return nil }
        rest = rest.dropFirst().drop(while: isSpace)
    }
}
