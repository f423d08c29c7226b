/// Reads the header and the table of contents of a custom-format archive from chunks that may be cut anywhere
/// (`ReadHead` and `ReadToc` of PostgreSQL's pg_backup_archiver.c).
///
/// Knows the archive versions 1.14 (PostgreSQL 12 to 15), 1.15 (16) and 1.16 (17 and 18).
package struct ArchiveContentsReader: Sendable {
    package private(set) var contents = ArchiveContents()
    package private(set) var isComplete = false
    /// Reads the archive's integers, here and in the data blocks that follow.
    var values = ArchiveValueReader()

    private var step = Step.magic(matched: 0)
    /// Bytes of earlier chunks.
    private var bytesBefore: Int64 = 0
    private var minorVersion: UInt8 = 0
    private var entriesLeft: Int64 = 0
    private var layout: [EntryField] = []
    private var entry = ArchiveEntry(dumpID: 0, description: "", namespace: "", tag: "", owner: "")
    private var tablespace = ""
    private var hasCopyStatement = false
    private let chosen: Set<Int32>?

    /// Reads all entries, and notes owners and tablespaces of those in `chosen`; of all for `nil`.
    package init(noting chosen: Set<Int32>? = nil) { self.chosen = chosen }

    /// Takes bytes from `position` on and moves it behind the last byte that belongs to the table of contents.
    package mutating func consume(_ bytes: Span<UInt8>, from position: inout Int) throws(BackupError) {
        let start = position
        while !isComplete, position < bytes.count {
            switch step {
            case .magic(let matched): try readMagic(matched, bytes, &position)
            case .header(let field): try readHeader(field, bytes, &position)
            case .entry(let index): try readEntry(layout[index], index, bytes, &position, start)
            }
        }
        bytesBefore += Int64(position - start)
    }

    private mutating func readMagic(_ matched: Int, _ bytes: Span<UInt8>, _ position: inout Int) throws(BackupError) {
        let magic = Array("PGDMP".utf8)
        guard bytes[position] == magic[matched] else {
            throw BackupError(
                .dumpIncomplete, "What pg_dump wrote is not a custom-format archive.",
                reason: "it does not begin with 'PGDMP'",
                remedy: "Look at pg_dump's own messages, and check that 'pg_dump' is PostgreSQL's program.")
        }
        position += 1
        step = matched + 1 < magic.count ? .magic(matched: matched + 1) : .header(.majorVersion)
    }

    private mutating func readHeader(
        _ field: HeaderField, _ bytes: Span<UInt8>, _ position: inout Int
    ) throws(BackupError) {
        switch field {
        case .majorVersion, .minorVersion, .revision, .integerSize, .offsetSize, .format:
            try note(bytes[position], as: field)
            position += 1
        case .compression where minorVersion >= 15:
            let algorithm = bytes[position]
            position += 1
            guard algorithm == 0 else { throw Self.compressed(with: algorithm) }
        case .compression:
            guard let level = values.integer(bytes, &position) else { return }
            guard level == 0 else { throw Self.compressed(with: 1) }
        case .second, .minute, .hour, .day, .month, .year, .daylightSaving:
            guard values.integer(bytes, &position) != nil else { return }
        case .database, .serverVersion, .dumpVersion:
            guard values.string(bytes, &position) else { return }
        case .entryCount:
            guard let count = values.integer(bytes, &position) else { return }
            entriesLeft = count
            layout = EntryField.layout(minorVersion: minorVersion)
            step = .entry(0)
            isComplete = count <= 0
            return
        }
        guard let next = HeaderField(rawValue: field.rawValue + 1) else { return }
        step = .header(next)
    }

    private mutating func note(_ byte: UInt8, as field: HeaderField) throws(BackupError) {
        switch field {
        case .majorVersion where byte != 1: throw Self.unknownVersion("\(byte)")
        case .minorVersion:
            guard (14...16).contains(byte) else { throw Self.unknownVersion("1.\(byte)") }
            minorVersion = byte
        case .integerSize:
            guard (1...8).contains(byte) else { throw Self.malformed("integers of \(byte) bytes") }
            values.integerSize = Int(byte)
        case .offsetSize:
            guard (1...8).contains(byte) else { throw Self.malformed("offsets of \(byte) bytes") }
            values.offsetSize = Int(byte)
        case .format where byte != 1: throw Self.malformed("format \(byte), which is not 'custom'")
        default: break
        }
    }

    private mutating func readEntry(
        _ field: EntryField, _ index: Int, _ bytes: Span<UInt8>, _ position: inout Int, _ start: Int
    ) throws(BackupError) {
        switch field {
        case .dumpID:
            guard let number = values.integer(bytes, &position) else { return }
            guard let dumpID = Int32(exactly: number) else { throw Self.malformed("an entry number \(number)") }
            entry.dumpID = dumpID
        case .number:
            guard values.integer(bytes, &position) != nil else { return }
        case .text:
            guard values.string(bytes, &position, keeping: 0) else { return }
        case .tag:
            guard values.string(bytes, &position) else { return }
            entry.tag = values.text
        case .description:
            guard values.string(bytes, &position) else { return }
            entry.description = values.text
        case .copyStatement:
            guard values.string(bytes, &position, keeping: 1) else { return }
            hasCopyStatement = !values.isEmpty
        case .namespace:
            guard values.string(bytes, &position) else { return }
            entry.namespace = values.text
        case .tablespace:
            guard values.string(bytes, &position) else { return }
            tablespace = values.text
        case .owner:
            guard values.string(bytes, &position) else { return }
            entry.owner = values.text
        case .dependencies:
            guard values.string(bytes, &position, keeping: 0) else { return }
            if !values.isNull { return }
        case .data:
            guard let state = values.offsetState(bytes, &position) else { return }
            let end = bytesBefore + Int64(position - start)
            let hasData = state != ArchiveValueReader.noData
            if hasData { contents.offsetFields[entry.dumpID] = end - Int64(1 + values.offsetSize) }
            try closeEntry(hasData: hasData)
            step = .entry(0)
            return
        }
        step = .entry(index + 1)
    }

    private mutating func closeEntry(hasData: Bool) throws(BackupError) {
        let isTableData = entry.description == "TABLE DATA"
        if isTableData && hasData && !hasCopyStatement {
            throw BackupError(
                .toolFailed,
                "The data of table '\(entry.namespace).\(entry.tag)' was dumped as INSERT statements.",
                reason: "rows can only be counted in COPY text",
                remedy: "Run pg_dump without --inserts, --column-inserts and --rows-per-insert.")
        }
        if chosen?.contains(entry.dumpID) ?? true { noteNeeds() }
        if isTableData || entry.description == "EXTENSION" { contents.entries.append(entry) }
        entriesLeft -= 1
        isComplete = entriesLeft == 0
    }

    /// What describes an object is not given to a role by itself.
    private static let descriptions: Set<String> = ["ACL", "COMMENT", "DEFAULT ACL", "SECURITY LABEL", "TABLE DATA"]

    private mutating func noteNeeds() {
        if !tablespace.isEmpty { contents.tablespaces.insert(tablespace) }
        if !entry.owner.isEmpty, !Self.descriptions.contains(entry.description) { contents.owners.insert(entry.owner) }
    }
}

extension ArchiveContentsReader {
    private enum Step: Sendable {
        case magic(matched: Int)
        case header(HeaderField)
        case entry(Int)
    }

    /// The fields of the header, in their order.
    private enum HeaderField: Int, Sendable {
        case majorVersion, minorVersion, revision, integerSize, offsetSize, format, compression
        case second, minute, hour, day, month, year, daylightSaving
        case database, serverVersion, dumpVersion, entryCount
    }

    private enum EntryField: Sendable {
        case dumpID, tag, description, copyStatement, namespace, tablespace, owner, dependencies, data
        /// A number or a text that nothing here needs.
        case number, text

        static func layout(minorVersion: UInt8) -> [EntryField] {
            [
                .dumpID,
                .number,  // whether it had data when pg_dump planned it
                .text,  // catalogue
                .text,  // object id
                .tag,
                .description,
                .number,  // section
                .text,  // definition
                .text,  // drop statement
                .copyStatement,
                .namespace,
                .tablespace,
                .text,  // access method
            ] + (minorVersion >= 16 ? [.number] : [])  // kind of relation
                + [
                    .owner,
                    .text,  // whether it has OIDs
                    .dependencies,
                    .data,
                ]
        }
    }

    private static func unknownVersion(_ version: String) -> BackupError {
        BackupError(
            .toolFailed, "pg_dump wrote an archive of format version \(version), which is not known here.",
            reason: "known are 1.14 (PostgreSQL 12 to 15), 1.15 (16) and 1.16 (17 and 18)",
            remedy: "Use pg_dump of PostgreSQL 12 to 18, a newer apex-backup, or the format 'plain'.")
    }

    private static func compressed(with algorithm: UInt8) -> BackupError {
        let names: [UInt8: String] = [1: "gzip", 2: "lz4", 3: "zstd"]
        return BackupError(
            .toolFailed,
            "The archive is compressed by pg_dump (\(names[algorithm] ?? "algorithm \(algorithm)")).",
            reason: "rows can only be counted in an archive that pg_dump has left uncompressed",
            remedy: "Run pg_dump with -Z0; apex-backup compresses the stream itself.")
    }

    static func malformed(_ what: String) -> BackupError {
        BackupError(
            .dumpIncomplete, "The archive that pg_dump wrote is malformed.",
            reason: "it has \(what)",
            remedy: "Take the backup again; if it happens twice, run pg_dump by hand and read the archive with "
                + "'pg_restore -f /dev/null'.")
    }
}
