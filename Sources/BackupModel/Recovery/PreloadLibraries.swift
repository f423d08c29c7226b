/// Which libraries a server that is a copy of another may load when it starts.
///
/// A library stays if it is needed to read or replay the data, or has no effects outside the session that uses it. One
/// that is not known is dropped: it may run jobs, or send what it finds to others.
package struct PreloadLibraries: Sendable, Hashable {
    /// A library that was taken out.
    package struct Dropped: Sendable, Hashable {
        package var name: String
        package var why: String
    }

    /// The setting's new value, a list as PostgreSQL reads it.
    package var value: String
    package var dropped: [Dropped]

    /// Libraries that may stay, and why.
    package static let allowed: [String: String] = [
        "age": "its graph queries need it; it runs nothing of its own",
        "auto_explain": "it writes into the server's own log only",
        "orioledb": "its tables cannot be replayed or read without it",
        "pg_hint_plan": "it changes plans only",
        "pg_stat_kcache": "it counts, in memory",
        "pg_stat_statements": "it counts, in memory and in a file of its own server",
        "pg_tde": "encrypted tables cannot be replayed or read without it",
        "pgaudit": "statements fail without it where its extension is; it writes into the server's own log only",
        "plpgsql": "it runs nothing of its own",
        "postgis-3": "it runs nothing of its own",
        "timescaledb": "compressed tables cannot be read without it; it is allowed no background workers",
        "vector": "it runs nothing of its own",
    ]

    /// Decides about the list in the value of one of the three settings.
    ///
    /// `installed` are the names of the libraries that are there, without `.so`, or `nil` if that is not known; a server
    /// that is to load a missing one does not start.
    package init(filtering setting: String, installed: Set<String>? = nil) {
        guard let names = PathList.names(in: setting) else {
            value = ""
            dropped = [Dropped(name: setting, why: "the list cannot be read")]
            return
        }
        var kept: [String] = []
        dropped = []
        for name in names {
            let library = Self.baseName(name)
            if Self.allowed[library] == nil || !Self.isPlain(name) {
                dropped.append(Dropped(name: name, why: "it is not known to be without effects of its own"))
            } else if let installed, !installed.contains(library) {
                dropped.append(Dropped(name: name, why: "it is not installed here"))
            } else {
                kept.append(PathList.quoted(name))
            }
        }
        value = kept.joined(separator: ", ")
    }

    /// The name without `$libdir/` and `.so`.
    private static func baseName(_ name: String) -> String {
        var base = name.utf8[...]
        if base.starts(with: "$libdir/".utf8) { base = base.dropFirst(8) }
        if base.reversed().starts(with: "os.".utf8) { base = base.dropLast(3) }
        return String(decoding: base, as: UTF8.self)
    }

    /// Whether the library is looked for where PostgreSQL's own are.
    private static func isPlain(_ name: String) -> Bool { !baseName(name).utf8.contains(UInt8(ascii: "/")) }
}
