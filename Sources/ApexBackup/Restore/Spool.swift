import BackupModel
import BackupStorage
import FoundationEssentials

/// A temporary file that holds a dump while several jobs of pg_restore read it; readable by its owner alone.
struct Spool {
    let path: String

    init(directory: String, name: RunID) {
        path = "\(directory)/apex-backup-spool-\(name)"
    }

    func makeSink() throws(BackupError) -> any ByteSink {
        FileSink(try OpenFile(creating: path), ending: .close)
    }

    func remove() {
        do { try FileManager.default.removeItem(atPath: path) } catch { return }
    }
}
