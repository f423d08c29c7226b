import BackupModel
import Glibc
import PostgresAccess
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct `The cause of a failure` {
    private let broken = BackupError(.pipeBroken, "Writing failed.", remedy: "None.")

    @Test func `is the body's error, though its child fails at the early end of its input`() async throws {
        let damaged = BackupError(.objectDamaged, "The object 'a' is damaged.", remedy: "None.")
        let command = shell("cat > /dev/null; echo 'unexpected end of file' >&2; exit 1")
        let result = try await run(command, input: .pipe) { child in
            close(child.takeStandardInput())
            #expect(await hasEnded(child))
            throw damaged
        }
        #expect(result.outcome.status == .exited(1))
        #expect(throws: damaged) { try result.value(of: command) }
    }

    @Test func `is the child's failure when the body could not write to it any more`() async throws {
        let command = shell("echo 'bad input' >&2; exit 4")
        let result = try await run(command, input: .pipe) { child in
            #expect(await hasEnded(child))
            throw broken
        }
        let error = #expect(throws: BackupError.self) { try result.value(of: command) }
        #expect(error?.code == .toolFailed && error?.reason == "bad input")
    }

    @Test func `is a broken pipe of another child, whatever becomes of this one`() async throws {
        let command = shell("exit 4")
        let result = try await run(command, output: .pipe) { _ in throw broken }
        #expect(throws: broken) { try result.value(of: command) }
    }

    @Test func `is the broken pipe itself when the child ended well without reading all`() async throws {
        let command = shell("exit 0")
        let result = try await run(command, input: .pipe) { child in
            #expect(await hasEnded(child))
            throw broken
        }
        #expect(result.outcome.isSuccess)
        #expect(throws: broken) { try result.value(of: command) }
    }

    @Test func `is the child's failure also when the child takes its time to end`() async throws {
        let directory = try TemporaryDirectory()
        let script = #"exec <&-; : > "$1"; sleep 3; echo 'bad input' >&2; exit 4"#
        let command = shell(script, directory.path(of: "mark"))
        let result = try await run(command, input: .pipe) { _ in
            #expect(try await eventually { try directory.contents() == ["mark"] })
            throw broken
        }
        let error = #expect(throws: BackupError.self) { try result.value(of: command) }
        #expect(error?.code == .toolFailed && error?.reason == "bad input")
    }

    /// Waits until the child has ended, as one has before it could break a pipe, however slowly it was started.
    private func hasEnded(_ child: ChildStreams) async -> Bool {
        await eventually { ProcessSnapshot.hasEnded(child.processIdentifier) }
    }
}

@Suite(.timeLimit(.minutes(30))) struct `What a child leaves behind` {
    @Test func `in its process group ends with it`() async throws {
        let result = try await run(shell("sleep 600 > /dev/null 2>&1 & echo $! >&2")) { _ in }
        let leftover = try #require(Int32(result.outcome.standardErrorTail.prefix { $0.isNumber }))
        #expect(result.outcome.isSuccess)
        #expect(await eventually { kill(leftover, 0) != 0 })
    }

    @Test func `ends with it when the body fails, and when it does not react to a request`() async throws {
        struct Stop: Error {}
        let script = #"sh -c 'trap "" TERM; echo $$ >&2; : > "$1"; sleep 600; sleep 600' sh "$1" & wait"#
        let directory = try TemporaryDirectory()
        let result = try await run(shell(script, directory.path(of: "mark"))) { _ in
            #expect(try await eventually { try directory.contents() == ["mark"] })
            throw Stop()
        }
        let leftover = try #require(Int32(result.outcome.standardErrorTail.prefix { $0.isNumber }))
        #expect(await eventually { kill(leftover, 0) != 0 })
    }
}
