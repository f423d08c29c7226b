import BackupModel
import Glibc
import PostgresAccess
import Testing

@Suite struct `A process` {
    private let host = ProcessHost(name: "db-1\n", boot: "b7\n")
    private let status = "1 (a (b) c) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 4242 1 1"

    private func process(pid: Int32 = getpid(), ticks: UInt64 = 4242) -> ProcessIdentity {
        ProcessIdentity(pid: pid, startTicks: ticks, boot: "b7", namespace: host.namespace)
    }

    @Test func `that has its number and its start is there`() {
        #expect(host.thisProcess(status: status) == process())
        #expect(!host.isGone(process(), on: "db-1", status: status))
        #expect(host.isAlive(process(), on: "db-1", status: status))
    }

    @Test func `is gone when another has its number, when none has it, and when the host was started again`() {
        #expect(host.isGone(process(ticks: 4241), on: "db-1", status: status))
        #expect(host.isGone(process(pid: 1_999_999_999), on: "db-1", status: nil))
        let before = ProcessIdentity(pid: getpid(), startTicks: 4242, boot: "b6", namespace: nil)
        #expect(host.isGone(before, on: "db-1", status: status))
        let ended = status.replacing(") S ", with: ") Z ")
        #expect(
            host.isGone(process(), on: "db-1", status: ended) && !host.isAlive(process(), on: "db-1", status: ended))
        for other in [process(ticks: 4241), before] { #expect(!host.isAlive(other, on: "db-1", status: status)) }
    }

    @Test func `is not known to be gone when it is hidden, of another host, or of another container`() {
        #expect(!host.isGone(process(ticks: 4241), on: "db-1", status: nil))
        #expect(!host.isGone(process(ticks: 4241), on: "db-1", status: "unintelligible"))
        #expect(!host.isGone(process(ticks: 4241), on: "db-2", status: status))
        #expect(!host.isAlive(process(), on: "db-2", status: status))
        #expect(!host.isAlive(process(), on: "db-1", status: nil))
        for namespace in [nil, host.namespace.map { $0 + 1 }] {
            let other = ProcessIdentity(pid: 1_999_999_999, startTicks: 1, boot: "b7", namespace: namespace)
            #expect(!host.isGone(other, on: "db-1", status: nil))
        }
        #expect(!ProcessHost(name: nil, boot: nil).isGone(process(ticks: 1), on: "", status: status))
    }
}
