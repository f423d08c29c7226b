/// The configuration files that a backup holds.
package struct CapturedConfiguration: Sendable, Hashable {
    /// Where a file was when the backup was taken.
    package enum Place: Sendable, Hashable {
        /// In the data directory, and so in the backup's data.
        case inside
        /// Elsewhere; `nil` if the backup does not have it.
        case outside([UInt8]?)
    }

    /// `postgresql.conf`, wherever it was; `nil` if the backup does not have it.
    package var settings: [UInt8]?
    /// `postgresql.auto.conf`, which is always in the data directory; `nil` if there was none.
    package var alteredSettings: [UInt8]?
    /// Where `pg_hba.conf` is.
    package var hostAccess: Place
    /// Where `pg_ident.conf` is.
    package var userMaps: Place

    /// The files of a backup.
    package init(
        settings: [UInt8]?, alteredSettings: [UInt8]?, hostAccess: Place = .inside,
        userMaps: Place = .inside
    ) {
        self.settings = settings
        self.alteredSettings = alteredSettings
        self.hostAccess = hostAccess
        self.userMaps = userMaps
    }

    /// A path outside the data directory without which a server does not start.
    package struct OutsidePath: Sendable, Hashable {
        package var setting: String
        package var path: String
    }

    /// The paths that must be looked for where the server will run, in order.
    package var outsidePaths: [OutsidePath] {
        var paths: [OutsidePath] = []
        for name in Self.certificateSettings where value(of: "ssl").map(Self.mayBeOn) == true {
            guard let value = value(of: name), Self.leavesDirectory(value) else { continue }
            paths.append(OutsidePath(setting: name, path: String(decoding: value, as: UTF8.self)))
        }
        return paths + socketDirectories.map { OutsidePath(setting: "unix_socket_directories", path: $0) }
    }

    static let certificateSettings = [
        "ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file", "ssl_crl_dir", "ssl_dh_params_file",
    ]

    /// The directories of sockets, without the abstract ones that begin with `@`.
    var socketDirectories: [String] {
        guard let value = value(of: "unix_socket_directories") else { return [] }
        return (PathList.names(in: String(decoding: value, as: UTF8.self)) ?? []).filter {
            !$0.utf8.starts(with: "@".utf8)
        }
    }

    /// What a server takes, `postgresql.auto.conf` after `postgresql.conf`, without what earlier restores wrote and
    /// without what is included.
    func value(of name: String) -> [UInt8]? {
        [alteredSettings, settings].lazy.compactMap { $0 }
            .compactMap { ServerConfigurationText($0).removingBlocks().text.value(of: name) }.first
    }

    /// What a server takes of the files as they are, blocks of restores included.
    package func text(of name: String) -> String? {
        [alteredSettings, settings].lazy.compactMap { $0 }.compactMap { ServerConfigurationText($0).value(of: name) }
            .first.map { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether a path is absolute, or climbs.
    static func leavesDirectory(_ path: [UInt8]) -> Bool {
        path.first == UInt8(ascii: "/")
            || path.split(separator: UInt8(ascii: "/")).contains { $0.elementsEqual("..".utf8) }
    }

    /// Whether a value may be a boolean's "on": `off`, `false`, `no` and `0` may be cut short.
    private static func mayBeOn(_ value: [UInt8]) -> Bool {
        let text = String(decoding: value.map(ASCII.lowercased), as: UTF8.self)
        return !["of", "off", "f", "fa", "fal", "fals", "false", "n", "no", "0"].contains(text)
    }
}
