import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// Takes a base backup's stream apart, on the thread that reads it: archives into files and these into pieces, small
/// files that a restore needs as they are, and the server's backup manifest.
final class BaseBackupReceiver: Sendable {
    /// What was received besides the files.
    struct Received: Sendable {
        /// `backup_label`, byte for byte.
        var label: [UInt8]?
        /// `tablespace_map`, byte for byte, if there are tablespaces.
        var tablespaceMap: [UInt8]?
        /// What the server announced.
        var start: BaseBackupStart?
        /// When the last byte of a file came, on this host's clock: the backup ended no earlier.
        var lastFileAt: Timestamp?
    }

    private struct State {
        var tar = TarReader()
        var tablespace: DataPath?
        var member: TarMember?
        var isManifest = false
        var cutter = PieceCutter()
        var files = 0
        var kept: [UInt8]?
        var received = Received()
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
    func begin(_ start: BaseBackupStart) { state.withLock { $0.received.start = start } }

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
                state.received.lastFileAt = environment.clocks.wall()
            case .progress(let bytes):
                environment.events(
                    .progress(
                        subject: "files", bytes: Int64(clamping: bytes), of: state.received.start?.estimatedBytes))
            }
        }
    }

    /// Hands over what is left; returns what was kept aside.
    func finish() throws(BackupError) -> Received {
        try state.withLock { state throws(BackupError) in
            if let last = state.cutter.takePiece() { try put(last) }
            return state.received
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
        state.member = nil
    }

    private func read(_ bytes: Span<UInt8>, _ state: inout State) throws(BackupError) {
        var offset = 0
        while true {
            switch try state.tar.next(bytes, &offset) {
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
        if member.path == Self.label { state.received.label = kept } else { state.received.tablespaceMap = kept }
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

    /// What the receiver ends with when those who store have ended: their error is the cause.
    static let stopped = BackupError(
        .interrupted, "The base backup was not received to its end, because it is stored no more.",
        remedy: "See the error that came with this one.")
}
