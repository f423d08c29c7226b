import BackupModel
import BackupStorage

/// Where the files of a cluster go: its data directory, and a directory for each tablespace.
struct RestoredTree: Sendable {
    let main: DataDirectory
    let tablespaces: [UInt32: DataDirectory]
    /// Whether files may be there already, and what is right in them stays.
    let isRewritten: Bool

    /// Makes the directories, which are empty then, and the links by which a server finds its tablespaces; `places` has
    /// the directory of each.
    ///
    /// Without a `tablespace_map` in the data directory PostgreSQL takes the links as they are.
    init(_ directory: String, tablespaces places: [UInt32: String]) throws(BackupError) {
        main = try DataDirectory(making: directory)
        var tablespaces: [UInt32: DataDirectory] = [:]
        for (oid, place) in places.sorted(by: { $0.key < $1.key }) {
            tablespaces[oid] = try DataDirectory(making: place)
        }
        self.tablespaces = tablespaces
        isRewritten = false
        try link()
    }

    /// A tree that is there already, with the links made that are missing.
    init(rewriting main: DataDirectory, tablespaces: [UInt32: DataDirectory]) throws(BackupError) {
        self.main = main
        self.tablespaces = tablespaces
        isRewritten = true
        try link()
    }

    private func link() throws(BackupError) {
        for (oid, directory) in tablespaces { try main.makeLink(Self.link(to: oid), to: directory.path) }
    }

    /// The path of the link that leads to a tablespace.
    static func link(to tablespace: UInt32) -> DataPath { DataPath("\(folder)/\(tablespace)") }

    private static let folder = "pg_tblspc"

    /// The tablespace that a path of the backup is in, and its path there; `nil` for a tablespace's own directory.
    ///
    /// The tablespace is `nil` for what is in the data directory itself.
    func place(_ path: DataPath) -> (tablespace: UInt32?, path: DataPath)? {
        let prefix = Array("\(Self.folder)/".utf8)
        guard !tablespaces.isEmpty, path.bytes.starts(with: prefix) else { return (nil, path) }
        let rest = path.bytes[prefix.count...]
        let slash = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
        guard let oid = UInt32(String(decoding: rest[..<slash], as: UTF8.self)), tablespaces[oid] != nil else {
            return (nil, path)
        }
        return DataPath(bytes: Array(rest[slash...].dropFirst())).map { (oid, $0) }
    }

    /// Returns when everything is on stable storage.
    func synchronize() throws(BackupError) {
        try main.synchronize()
        for directory in tablespaces.values { try directory.synchronize() }
    }
}

/// Makes and opens the files of a tree, for one thread.
final class RestoredTreeFiles {
    private let tree: RestoredTree
    private let main: DataDirectoryFiles
    private let tablespaces: [UInt32: DataDirectoryFiles]

    init(_ tree: RestoredTree) {
        self.tree = tree
        main = DataDirectoryFiles(tree.main)
        tablespaces = tree.tablespaces.mapValues(DataDirectoryFiles.init)
    }

    func makeDirectory(_ path: DataPath, mode: UInt32) throws(BackupError) {
        guard let (files, path) = place(path) else { return }
        try files.makeDirectory(path, mode: mode)
    }

    /// Makes a file that is not there yet; in a tree that is rewritten, opens the one that is.
    func open(_ path: DataPath, mode: UInt32, isBegun: Bool = false) throws(BackupError) -> RestoredFile {
        guard let (files, path) = place(path) else {
            throw BackupError(
                .objectDamaged, "The backup has the file '\(path)', which is where a tablespace is.",
                remedy: "Use another backup ('apex-backup list').")
        }
        return tree.isRewritten || isBegun ? try files.open(path, mode: mode) : try files.make(path, mode: mode)
    }

    private func place(_ path: DataPath) -> (files: DataDirectoryFiles, path: DataPath)? {
        guard let place = tree.place(path) else { return nil }
        return (place.tablespace.flatMap { tablespaces[$0] } ?? main, place.path)
    }
}

/// Where the tablespaces of a backup are to be.
package struct TablespacePlaces: Sendable, Hashable {
    /// A directory for each of some, by their number or by where they were on the source.
    package var named: [String: String] = [:]
    /// The directory in which every other one gets a directory named by its number.
    package var folder: String?

    package init() {}

    /// A directory for each tablespace of a backup.
    ///
    /// None is ever put by itself where it was: the source may still be there.
    ///
    /// `links` has where tablespaces are now, of a directory that is rewritten.
    func directories(
        for tablespaces: [PhysicalRecord.Tablespace], besides directory: String, links: [UInt32: String] = [:]
    ) throws(BackupError) -> [UInt32: String] {
        var places: [UInt32: String] = [:]
        var missing: [PhysicalRecord.Tablespace] = []
        for tablespace in tablespaces where !tablespace.isInPlace {
            let place =
                named["\(tablespace.oid)"] ?? named[tablespace.location] ?? folder.map { "\($0)/\(tablespace.oid)" }
            if let place { places[tablespace.oid] = place } else { missing.append(tablespace) }
        }
        let known = Set(tablespaces.flatMap { ["\($0.oid)", $0.location] })
        if let stranger = named.keys.sorted().first(where: { !known.contains($0) }) {
            throw BackupError(
                .usage, "The backup has no tablespace '\(stranger)'.",
                reason: tablespaces.isEmpty ? "it has none" : "it has \(Self.list(tablespaces))",
                remedy: "Name one by its number or by where it was.", unchanged: "Nothing was restored.")
        }
        guard missing.isEmpty else {
            throw BackupError(
                .targetUnsuitable, "It is not known where to put the tablespaces of the backup.",
                reason: Self.list(missing),
                remedy: "Add --tablespaces-into /DIRECTORY for all of them, or for each "
                    + missing.map { "--tablespace \($0.oid)=\(links[$0.oid] ?? "/DIRECTORY")" }.joined(separator: " "),
                unchanged: "Nothing was restored.")
        }
        if let (outer, inner) = Self.nested([directory] + places.values.sorted()) {
            throw BackupError(
                .usage, "Two tablespaces cannot go into one directory, nor one into that of the cluster.",
                reason: inner == outer ? "'\(outer)' was named for both" : "'\(inner)' is in '\(outer)'",
                remedy: "Name a directory for each, none of them in another one.", unchanged: "Nothing was restored.")
        }
        return places
    }

    /// Two of `directories` of which one is the other, or in it.
    private static func nested(_ directories: [String]) -> (outer: String, inner: String)? {
        for (index, first) in directories.enumerated() {
            for second in directories[(index + 1)...] {
                if "\(second)/".hasPrefix("\(first)/") { return (first, second) }
                if first.hasPrefix("\(second)/") { return (second, first) }
            }
        }
        return nil
    }

    private static func list(_ tablespaces: [PhysicalRecord.Tablespace]) -> String {
        tablespaces.map { "\($0.oid) at '\($0.location)'" }.joined(separator: ", ")
    }
}

extension PhysicalRecord.Tablespace {
    /// Whether it is a directory of the data directory itself: `allow_in_place_tablespaces`.
    var isInPlace: Bool { !location.hasPrefix("/") }
}
