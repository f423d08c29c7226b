internal import FoundationEssentials
internal import Glibc
internal import PostgresAccess
internal import Synchronization

/// Sees to it that tests leave no file and no process behind, also when a test process was killed.
enum Leftovers {
    private static let prefix = "apex-test-"
    private static let atExit = Mutex<Set<String>?>(nil)
    private static let disk = "/tmp"
    private static let memory = "/dev/shm"

    /// A new path in `/tmp` that says which process it is of.
    static func newPath(_ purpose: String) -> String { newPath(purpose, in: disk) }

    /// A new path for a cluster.
    static func newClusterPath() -> String { newPath("cluster", in: clusters) }

    /// Memory where there is plenty: databases come and go by hundreds of files, for which ext4 searches long among those
    /// just deleted.
    private static let clusters: String = {
        var system = statvfs()
        guard unsafe statvfs(memory, &system) == 0 else { return disk }
        return UInt64(system.f_bavail) * UInt64(system.f_frsize) >= 8 << 30 ? memory : disk
    }()

    private static func newPath(_ purpose: String, in folder: String) -> String {
        "\(folder)/\(prefix)\(getpid())-\(purpose)-\(String(UInt32.random(in: .min ... .max), radix: 36))"
    }

    /// Ends the processes that work in `directory`, and removes it, when this process exits.
    static func removeAtExit(_ directory: String) {
        let isFirst = atExit.withLock { directories in
            defer { directories = (directories ?? []).union([directory]) }
            return directories == nil
        }
        if isFirst { atexit { Leftovers.atExit.withLock { $0 ?? [] }.forEach(Leftovers.remove) } }
    }

    /// Removes what test processes that are no more have left.
    static func removeThoseOfDeadProcesses() async {
        for folder in [disk, memory] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names where name.hasPrefix(prefix) {
                guard let process = Int32(name.dropFirst(prefix.count).prefix { $0 != "-" }), process != getpid(),
                    kill(process, 0) != 0, errno == ESRCH
                else { continue }
                remove("\(folder)/\(name)")
            }
        }
    }

    private static func remove(_ directory: String) {
        for process in ProcessSnapshot.all(naming: directory) where process.processIdentifier != getpid() {
            // Servers and poolers end at once on SIGQUIT.
            for signal in [SIGQUIT, SIGKILL] where process.isAlive {
                kill(process.processIdentifier, signal)
                for _ in 0..<4000 where process.isAlive { usleep(5000) }
            }
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
