import Dispatch
import PostgresAccess
import TestSupport
import Testing

@Suite struct `An ownership lock` {
    @Test func `is had by one, and is none of a file that was removed by whoever had it`() async throws {
        let directory = try TemporaryDirectory()
        try directory.write([], to: "owned")
        let path = directory.path(of: "owned")
        var first = try OwnershipLock.own(path)
        #expect(first != nil)
        #expect(try OwnershipLock.takeOver(path) == nil)
        let number = try await capture(shell("printf %s $(stat -c %i \"$1\")", path)).text
        let second = Task {
            try await withCheckedThrowingContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(with: Result { try OwnershipLock.own(path) }) }
            }
        }
        let waits = shell("grep -q -- \"-> FLOCK.*:$1 \" /proc/locks", number)
        #expect(try await eventually { try await capture(waits).outcome.isSuccess })
        _ = try await capture(shell("rm \"$1\"", path))
        withExtendedLifetime(first) {}
        first = nil
        #expect(try await second.value == nil)
        #expect(try OwnershipLock.takeOver(path) == nil)
    }
}
