import BackupModel
import BackupStorage

/// Where the files of a cluster go: its data directory, and a directory for each tablespace.
struct RestoredTree: Sendable {
    let main: DataDirectory
    private let tablespaces: [UInt32: DataDirectory]

    /// Makes the directories, which are empty then; `places` has the one of each tablespace.
    init(_ directory: String, tablespaces places: [UInt32: String]) throws(BackupError) {
        main = try DataDirectory(making: directory)
        var tablespaces: [UInt32: DataDirectory] = [:]
        for (oid, place) in places.sorted(by: { $0.key < $1.key }) {
            tablespaces[oid] = try DataDirectory(making: place)
        }
        self.tablespaces = tablespaces
    }

    /// The directory that a path of the backup is in, and its path there; `nil` for a tablespace's own directory.
    private func place(_ path: DataPath) -> (directory: DataDirectory, path: DataPath)? {
        let parts = path.components
        guard parts.count >= 2, parts[0] == Array(Self.folder.utf8),
            let oid = UInt32(String(decoding: parts[1], as: UTF8.self)), let directory = tablespaces[oid]
        else { return (main, path) }
        let rest = DataPath(bytes: Array(parts.dropFirst(2).joined(separator: [UInt8(ascii: "/")])))
        return rest.map { (directory, $0) }
    }

    private static let folder = "pg_tblspc"

    func makeDirectory(_ path: DataPath, mode: UInt32) throws(BackupError) {
        guard let (directory, path) = place(path) else { return }
        try directory.makeDirectory(path, mode: mode)
    }

    func makeFile(_ path: DataPath, size: Int64, mode: UInt32) throws(BackupError) {
        guard let (directory, path) = place(path) else { return }
        try directory.makeFile(path, size: size, mode: mode)
    }

    func write(
        _ path: DataPath, _ body: (borrowing RestoredFile) throws(BackupError) -> Void
    ) throws(BackupError) {
        guard let (directory, path) = place(path) else { return }
        try directory.write(path, body)
    }

    /// Makes the links by which a server finds its tablespaces.
    ///
    /// Without a `tablespace_map` in the data directory PostgreSQL takes the links as they are.
    func link() throws(BackupError) {
        for (oid, directory) in tablespaces {
            try main.makeLink(DataPath("\(Self.folder)/\(oid)"), to: directory.path)
        }
    }

    /// Returns when everything is on stable storage.
    func synchronize() throws(BackupError) {
        try main.synchronize()
        for directory in tablespaces.values { try directory.synchronize() }
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
    func directories(
        for tablespaces: [PhysicalRecord.Tablespace], besides directory: String
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
                    + missing.map { "--tablespace \($0.oid)=/DIRECTORY" }.joined(separator: " "),
                unchanged: "Nothing was restored.")
        }
        if Set(places.values).count < places.count || places.values.contains(directory) {
            throw BackupError(
                .usage, "Two tablespaces cannot go into one directory, nor one into that of the cluster.",
                remedy: "Name a directory for each.",
                unchanged: "Nothing was restored.")
        }
        return places
    }

    private static func list(_ tablespaces: [PhysicalRecord.Tablespace]) -> String {
        tablespaces.map { "\($0.oid) at '\($0.location)'" }.joined(separator: ", ")
    }
}

extension PhysicalRecord.Tablespace {
    /// Whether it is a directory of the data directory itself: `allow_in_place_tablespaces`.
    var isInPlace: Bool { !location.hasPrefix("/") }
}
