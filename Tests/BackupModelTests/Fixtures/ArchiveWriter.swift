/// Writes custom-format archives as pg_backup_archiver.c and pg_backup_custom.c do.
struct ArchiveWriter {
    private(set) var bytes: [UInt8]
    private let minorVersion: UInt8
    private let integerSize: Int

    /// Writes a header; `compression` is a level below version 1.15 and an algorithm from there on.
    init(minorVersion: UInt8 = 16, integerSize: Int = 4, compression: UInt8 = 0, entries: Int) {
        bytes = Array("PGDMP".utf8) + [1, minorVersion, 0, UInt8(integerSize), 8, 1]
        self.minorVersion = minorVersion
        self.integerSize = integerSize
        if minorVersion >= 15 { bytes.append(compression) } else { integer(Int(compression)) }
        for part in [1, 2, 3, 4, 5, 126, 0] { integer(part) }
        for text in ["app", "17.0", "17.1"] { string(text) }
        integer(entries)
    }

    mutating func entry(
        _ dumpID: Int, _ description: String = "TABLE DATA", schema: String? = "public", tag: String,
        copy: String? = "COPY …", definition: String? = "", dependencies: Int = 2, hasData: Bool = true,
        tablespace: String = "", owner: String = "owner"
    ) {
        integer(dumpID)
        integer(hasData ? 1 : 0)
        for text in ["0", "16384", tag, description] { string(text) }
        integer(3)
        for text in [definition, "", copy, schema, tablespace, nil] { string(text) }
        if minorVersion >= 16 { integer(0) }
        string(owner)
        string("false")
        for dependency in 0..<dependencies { string(String(dependency)) }
        string(nil)
        bytes.append(hasData ? 1 : 3)
        bytes += [UInt8](repeating: 0, count: 8)
    }

    /// A block of table data: `chunks`, which should end with COPY's end, each with its length.
    mutating func data(_ dumpID: Int, chunks: [[UInt8]]) {
        bytes.append(1)
        integer(dumpID)
        for chunk in chunks { self.chunk(chunk) }
        integer(0)
    }

    /// A block with a chunk for each row, as pg_dump writes it.
    mutating func rows(_ dumpID: Int, _ rows: [String]) {
        data(dumpID, chunks: rows.map { Array("\($0)\n".utf8) } + [Array("\\.\n\n\n".utf8)])
    }

    mutating func largeObjects(_ dumpID: Int, _ contents: [[UInt8]]) {
        bytes.append(3)
        integer(dumpID)
        for (index, content) in contents.enumerated() {
            integer(index + 1000)
            if !content.isEmpty { chunk(content) }
            integer(0)
        }
        integer(0)
    }

    mutating func chunk(_ content: [UInt8]) {
        integer(content.count)
        bytes += content
    }

    mutating func raw(_ more: [UInt8]) { bytes += more }

    mutating func integer(_ value: Int) {
        bytes.append(value < 0 ? 1 : 0)
        for index in 0..<integerSize { bytes.append(UInt8(truncatingIfNeeded: value.magnitude >> (8 * index))) }
    }

    private mutating func string(_ text: String?) {
        guard let text else { return integer(-1) }
        integer(text.utf8.count)
        bytes += Array(text.utf8)
    }
}
