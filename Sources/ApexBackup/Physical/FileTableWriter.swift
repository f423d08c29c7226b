import BackupModel
import BackupStorage

/// What a base backup consists of, as it becomes known: from the receiver and from the workers, in any order.
enum BackupContent: Sendable {
    /// A file or directory, whose number the slices of its content have.
    case file(Int, FileTableLine)
    /// Content was stored.
    case stored(FrameReference, [FramePiece.Slice])
    /// Bytes of the server's backup manifest.
    case serverManifest([UInt8])
}

/// Writes a line for each file as soon as all of its content is stored.
///
/// It holds the files of which something is still under way, and no others.
struct FileTableWriter {
    private struct OpenFile {
        var line: FileTableLine?
        var extents: [FileExtent] = []
        var left: Int64 = 0
    }

    private let sink: any ByteSink
    private var open: [Int: OpenFile] = [:]
    private(set) var fileCount = 0
    private(set) var contentBytes: Int64 = 0

    init(into sink: any ByteSink) { self.sink = sink }

    mutating func add(_ number: Int, _ line: FileTableLine) throws(BackupError) {
        if !line.isDirectory { fileCount += 1 }
        contentBytes += line.size
        guard line.size > 0 else { return try write(line) }
        var file = open[number] ?? OpenFile()
        file.line = line
        file.left += line.size
        try settle(number, file)
    }

    mutating func add(_ frame: FrameReference, _ slices: [FramePiece.Slice]) throws(BackupError) {
        for slice in slices {
            var file = open[slice.file] ?? OpenFile()
            file.extents.append(
                FileExtent(
                    frame: frame, contentOffset: Int64(slice.contentOffset), fileOffset: slice.fileOffset,
                    length: Int64(slice.length)))
            file.left -= Int64(slice.length)
            try settle(slice.file, file)
        }
    }

    /// Ends the table; every file that was begun must be complete.
    func finish() throws(BackupError) {
        guard open.isEmpty else {
            throw BackupError(
                .storageFailed, "The content of \(open.count) files of the base backup was not all stored.",
                remedy: "This is a defect of apex-backup: report it with this message.")
        }
    }

    private mutating func settle(_ number: Int, _ file: OpenFile) throws(BackupError) {
        guard var line = file.line, file.left == 0 || file.extents.count == FileTableLine.mostExtents else {
            open[number] = file
            return
        }
        line.extents = file.extents.sorted { $0.fileOffset < $1.fileOffset }
        try write(line)
        if file.left == 0 {
            open[number] = nil
        } else {
            open[number] = OpenFile(line: file.line, left: file.left)
        }
    }

    private func write(_ line: FileTableLine) throws(BackupError) {
        let bytes = try RepositoryJSON.encodePlain(line, pretty: false) + [UInt8(ascii: "\n")]
        try sink.write(bytes.span)
    }
}
