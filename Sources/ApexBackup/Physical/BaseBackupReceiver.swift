import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// Takes a base backup's stream apart, on the thread that reads it: archives into files and these into pieces, small
/// files that a restore needs as they are, and the server's backup manifest.
final class BaseBackupReceiver: Sendable {
    /// What was received besides the files.
    struct Received: Sendable {
        /// What the server announced.
        let start: BaseBackupStart
        /// `backup_label`, byte for byte.
        let label: [UInt8]
        /// `tablespace_map`, byte for byte, if there are tablespaces.
        let tablespaceMap: [UInt8]?
        /// When the last byte of a file came, on this host's clock: the backup ended no earlier.
        let lastFileAt: Timestamp
    }

    private struct State {
        /// Reads the archive that is under way, if one is.
        var tar: TarReader?
        var tablespace: DataPath?
        var member: TarMember?
        var isManifest = false
        var cutter = PieceCutter()
        var files = 0
        var kept: [UInt8]?
        var start: BaseBackupStart?
        var label: [UInt8]?
        var tablespaceMap: [UInt8]?
        var lastFileAt: Timestamp?
    }

    private let state = Mutex(State())
    private let pieces: BoundedQueue<FramePiece>
    private let contents: BoundedQueue<BackupContent>
    private let environment: BackupEnvironment

    /// Files that a restore writes as they are, and which are no content of the data directory.
    private static let label = DataPath("backup_label")
    private static let tablespaceMap = DataPath("tablespace_map")
    private static let largestKept = 64 << 20

    init(
        pieces: BoundedQueue<FramePiece>, contents: BoundedQueue<BackupContent>,
        environment: BackupEnvironment
    ) {
        self.pieces = pieces
        self.contents = contents
        self.environment = environment
    }

    /// Takes what the server says before its files.
    func begin(_ start: BaseBackupStart) { state.withLock { $0.start = start } }

    /// Takes one message of the stream.
    func receive(_ message: Span<UInt8>) throws(BackupError) {
        try state.withLock { state throws(BackupError) in
            switch try BaseBackupMessage(message) {
            case .archive(let name, _):
                try finishArchive(&state)
                state.tar = TarReader()
                state.tablespace = try Self.folder(ofArchive: name)
            case .manifest:
                try finishArchive(&state)
                state.isManifest = true
            case .data(let range) where state.isManifest:
                var bytes: [UInt8] = []
                bytes.append(copying: message.extracting(range))
                try put(.serverManifest(bytes))
            case .data(let range):
                try read(message.extracting(range), &state)
                state.lastFileAt = environment.clocks.wall()
            case .progress(let bytes):
                environment.events(
                    .progress(
                        subject: "files", bytes: Int64(clamping: bytes), of: state.start?.estimatedBytes))
            }
        }
    }

    /// Hands over what is left; returns what was kept aside.
    func finish() throws(BackupError) -> Received {
        try state.withLock { state throws(BackupError) in
            try finishArchive(&state)
            guard let start = state.start, let label = state.label, let lastFileAt = state.lastFileAt else {
                throw Self.incomplete("its backup_label is missing")
            }
            return Received(
                start: start, label: label, tablespaceMap: state.tablespaceMap, lastFileAt: lastFileAt)
        }
    }

    /// Where the files of an archive belong: `base.tar` in the data directory, `<oid>.tar` in a tablespace.
    private static func folder(ofArchive name: String) throws(BackupError) -> DataPath? {
        guard name != "base.tar" else { return nil }
        guard name.hasSuffix(".tar"), let oid = UInt32(name.dropLast(4)) else {
            throw BackupError(
                .serverUnsupported, "The server's base backup has an archive with the unknown name '\(name)'.",
                remedy: "Report this with the server's version.", unchanged: "No backup was taken.")
        }
        return DataPath("pg_tblspc/\(oid)")
    }

    private func finishArchive(_ state: inout State) throws(BackupError) {
        if let last = state.cutter.takePiece() { try put(last) }
        guard state.tar?.isAtEnd ?? true else { throw Self.incomplete("one of its archives breaks off") }
        state.tar = nil
        state.member = nil
    }

    private func read(_ bytes: Span<UInt8>, _ state: inout State) throws(BackupError) {
        var offset = 0
        while true {
            switch try state.tar?.next(bytes, &offset) {
            case nil: throw Self.incomplete("it has content outside its archives")
            case .needsMore, .end: return try keepMember(&state)
            case .member(let member):
                try keepMember(&state)
                try begin(member, &state)
            case .content(let range):
                let content = bytes.extracting(range)
                if state.kept != nil {
                    state.kept?.append(copying: content)
                } else {
                    try state.cutter.add(content) { piece throws(BackupError) in try put(piece) }
                }
            }
        }
    }

    private func begin(_ member: TarMember, _ state: inout State) throws(BackupError) {
        state.member = member
        guard let path = state.tablespace.map({ $0.appending(member.path) }) ?? member.path else {
            throw BackupError(
                .serverUnsupported, "The server has a file whose path is too long: '\(member.path)'.",
                remedy: "Remove it from the data directory if it is not PostgreSQL's.",
                unchanged: "No backup was taken.")
        }
        let isRoot = state.tablespace == nil
        switch member.kind {
        // A link leads to a tablespace, which has an archive of its own.
        case .symbolicLink: return
        case .file where isRoot && (path == Self.label || path == Self.tablespaceMap):
            guard member.size <= Self.largestKept else { throw Self.tooLarge(path) }
            state.kept = []
            return
        case .file, .directory:
            let number = state.files
            state.files += 1
            if let full = state.cutter.begin(number, size: member.size) { try put(full) }
            try put(
                .file(
                    number,
                    FileTableLine(
                        path: path, isDirectory: member.kind == .directory, size: member.size, mode: member.mode,
                        extents: [])))
        }
    }

    /// Puts a member aside that was read to its end.
    private func keepMember(_ state: inout State) throws(BackupError) {
        guard let kept = state.kept, let member = state.member, kept.count == member.size else { return }
        if member.path == Self.label { state.label = kept } else { state.tablespaceMap = kept }
        state.kept = nil
    }

    private func put(_ piece: FramePiece) throws(BackupError) {
        guard pieces.put(piece) else { throw Self.stopped }
    }

    private func put(_ content: BackupContent) throws(BackupError) {
        guard contents.put(content) else { throw Self.stopped }
    }

    private static func tooLarge(_ path: DataPath) -> BackupError {
        BackupError(
            .serverUnsupported, "The server's '\(path)' has more than \(formatBytes(Int64(largestKept))).",
            remedy: "Report this with the server's version.", unchanged: "No backup was taken.")
    }

    static func incomplete(_ why: String) -> BackupError {
        BackupError(
            .serverUnsupported, "The server's base backup is not complete.", reason: why,
            remedy: "Check that PostgreSQL 15 or newer answers, and not a proxy.", unchanged: "No backup was taken.")
    }

    /// What the receiver ends with when those who store have ended: their error is the cause.
    private static let stopped = BackupError(
        .interrupted, "The base backup was not received to its end, because it is stored no more.",
        remedy: "See the error that came with this one.")
}
