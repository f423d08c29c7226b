/// The versions of the collations that a cluster's text indexes were built with, as its server reported them.
///
/// PostgreSQL takes the order of text from the C library or ICU. A library of another version may order otherwise, and
/// then an index is searched in the wrong place.
public struct CollationRecord: Sendable, Hashable, Codable {
    /// A collation that databases have by default, or that indexes use.
    public struct Version: Sendable, Hashable, Codable {
        /// `libc`, `icu` or `builtin`.
        public var provider: String
        /// Its locale, for example `de_DE.UTF-8`; empty if the catalogue has none.
        public var locale: String
        /// The version in the catalogue: that of the library when it was made, or last refreshed.
        public var recorded: String?
        /// That of the library on the source's host; `nil` if it has no versions, as C has none.
        public var actual: String?

        /// Makes a version.
        public init(provider: String, locale: String, recorded: String?, actual: String?) {
            self.provider = provider
            self.locale = locale
            self.recorded = recorded
            self.actual = actual
        }
    }

    /// Those that have versions, each once.
    public var versions: [Version]
    /// How many databases could not be looked into for collations of their own.
    public var unread: Int

    /// The most that a manifest has room for.
    static let mostVersions = 100

    /// Keeps of `versions` those that have one, each once, in an order of its own.
    public init(versions: [Version], unread: Int) {
        let known = Set(versions.filter { $0.recorded != nil || $0.actual != nil })
        self.versions = Array(known.sorted { $0.place < $1.place }.prefix(Self.mostVersions))
        self.unread = unread
    }
}

extension CollationRecord {
    /// The version that the source's library had of a collation that has one; `nil` if that is not known.
    package func actual(provider: String, locale: String) -> String? {
        // The C library has one version for all its locales.
        versions.first { $0.provider == provider && $0.locale == locale }?.actual
            ?? (provider == "libc" ? library : nil)
    }

    /// The version of the source's C library; `nil` if nothing of it has a version.
    package var library: String? { versions.first { $0.provider == "libc" && $0.actual != nil }?.actual }

    /// The versions by provider, for people.
    package var summary: String {
        let names = Set(versions.compactMap { version in version.actual.map { "\(version.provider) \($0)" } })
        return names.isEmpty ? "none that has a version" : names.sorted().joined(separator: ", ")
    }

    /// What is to be said of a restore for a server on a host whose C library is of `version`; `nil` for nothing.
    package func warning(forLibrary version: String?) -> String? {
        guard let library, let version, library != version else { return nil }
        return
            "the C library of this host is \(version), and the source's was \(library): if the server runs here, text "
            + "indexes with collations of libc may be in the wrong order, and must be rebuilt"
    }

    /// What a source is told whose catalogue and library differ.
    package var sourceWarnings: [String] {
        versions.compactMap { version in
            guard let recorded = version.recorded, let actual = version.actual, recorded != actual else { return nil }
            return
                "the collation '\(version.locale)' of \(version.provider) is of version \(recorded) in the catalogue, and "
                + "the server's library has \(actual): text indexes may be in the wrong order, here and in the backup"
        }
    }
}

extension CollationRecord.Version {
    fileprivate var place: (String, String, String, String) { (provider, locale, recorded ?? "", actual ?? "") }
}
