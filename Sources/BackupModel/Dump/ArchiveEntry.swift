/// One entry of an archive's table of contents.
package struct ArchiveEntry: Sendable, Hashable {
    /// The number by which data blocks refer to the entry.
    package var dumpID: Int32
    /// What it is, for example `TABLE DATA` or `EXTENSION`.
    package var description: String
    /// The schema it is in; empty for what is in none.
    package var namespace: String
    /// Its name.
    package var tag: String
    /// The role that owns it; empty where none is named.
    package var owner: String

    package init(dumpID: Int32, description: String, namespace: String, tag: String, owner: String) {
        self.dumpID = dumpID
        self.description = description
        self.namespace = namespace
        self.tag = tag
        self.owner = owner
    }
}

/// What the header and the table of contents of a custom-format archive say.
package struct ArchiveContents: Sendable, Hashable {
    /// Entries for table data and extensions, in the archive's order.
    package internal(set) var entries: [ArchiveEntry] = []
    /// The roles that own objects.
    package internal(set) var owners: Set<String> = []
    /// The tablespaces that are named; objects in the database's own name none.
    package internal(set) var tablespaces: Set<String> = []

    /// Dump ids of all entries that have data in the archive, table data and large objects, and where in the archive the
    /// field stands that says where their data is.
    var offsetFields: [Int32: Int64] = [:]

    /// Dump ids of all entries that have data in the archive.
    var withData: Set<Int32> { Set(offsetFields.keys) }
}
