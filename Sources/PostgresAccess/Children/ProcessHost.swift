package import BackupModel
import Glibc
import SystemPackage

/// The host that this program runs on, as far as it tells one process from another.
package struct ProcessHost: Sendable, Hashable {
    package let name: String
    package let boot: String
    /// The namespace of process numbers: containers of one host name have their own.
    package let namespace: UInt64?

    package static let nameFile = "/proc/sys/kernel/hostname"
    package static let bootFile = "/proc/sys/kernel/random/boot_id"
    package static func statusFile(of process: Int32) -> String { "/proc/\(process)/stat" }

    /// This host; `name` and `boot` are the contents of their files.
    package init(name: String?, boot: String?) {
        func word(_ text: String?) -> String { String(text?.split(whereSeparator: \.isWhitespace).first ?? "") }
        self.name = word(name)
        self.boot = word(boot)
        namespace = (try? Stat(FilePath("/proc/self/ns/pid"))).map { UInt64($0.inode.rawValue) }
    }

    /// Whether there is a process of that number, as far as this one can see.
    package static func exists(_ process: Int32) -> Bool { kill(process, 0) == 0 || errno == EPERM }

    /// This process, whose status file holds `status`.
    package func thisProcess(status: String?) -> ProcessIdentity {
        ProcessIdentity(
            pid: getpid(), startTicks: status.flatMap(Self.startTicks) ?? 0, boot: boot, namespace: namespace)
    }

    /// Whether `process` of `host` is certainly gone; `status` is the content of the status file of its number now.
    ///
    /// `false` when it lives or that cannot be known: of another host, of another container, or where others are hidden.
    package func isGone(_ process: ProcessIdentity, on host: String, status: String?) -> Bool {
        guard !name.isEmpty, host == name, !boot.isEmpty, process.pid > 0 else { return false }
        if process.boot != boot { return !process.boot.isEmpty }
        guard let namespace, process.namespace == namespace else { return false }
        if let ticks = status.flatMap(Self.startTicks) {
            return ticks != process.startTicks || status.map(Self.isEnded) == true
        }
        return kill(process.pid, 0) != 0 && errno == ESRCH
    }

    /// Whether `process` of `host` certainly lives; `status` is the content of the status file of its number now.
    package func isAlive(_ process: ProcessIdentity, on host: String, status: String?) -> Bool {
        guard !name.isEmpty, host == name, !boot.isEmpty, process.boot == boot, let namespace,
            process.namespace == namespace, let status, let ticks = Self.startTicks(in: status)
        else { return false }
        return ticks == process.startTicks && !Self.isEnded(in: status)
    }

    /// Whether the process has ended and only waits for its parent to look at how.
    private static func isEnded(in status: String) -> Bool {
        let state = status[(status.lastIndex(of: ")") ?? status.startIndex)...].dropFirst().first { $0 != " " }
        return state == "Z" || state == "X"
    }

    /// Field 22, counted after the program's name, which may hold anything.
    private static func startTicks(in status: String) -> UInt64? {
        guard let end = status.lastIndex(of: ")") else { return nil }
        let fields = status[status.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}
