import BackupModel
import Dispatch
import Glibc
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@Suite struct `Child processes` {
    @Test func `report exit status and error output`() async throws {
        let command = shell("echo out; echo 'cannot: s3cret' >&2; exit 3", secrets: ["s3cret"])
        let (outcome, text) = try await capture(command)
        #expect(outcome.status == .exited(3))
        #expect(text == "out\n")
        #expect(outcome.standardErrorTail == "cannot: ***\n")
        let error = #expect(throws: BackupError.self) { try requireSuccess(outcome, of: command) }
        #expect(error?.code == .toolFailed)
        #expect(error?.message.hasPrefix("sh failed with exit status 3 after ") == true)
        #expect(error?.reason == "cannot: ***")
    }

    @Test func `that are killed say by which signal`() async throws {
        let command = shell("kill -KILL $$")
        let result = try await run(command) { _ in }
        #expect(result.outcome.status == .signalled(9))
        let error = #expect(throws: BackupError.self) { try result.value(of: command) }
        #expect(error?.message.hasPrefix("sh was ended by SIGKILL (signal 9)") == true)
    }

    /// In the child, glibc would wait for ever for a thread that was just being made when the child was.
    @Test(.enabled(if: geteuid() == 0)) func `start as another user also while threads are being made`() async throws {
        let command = ChildCommand("/usr/bin/id", arguments: ["-un"], userName: "postgres")
        let threads = DispatchQueue(label: "makes threads")
        for _ in 1...100 {
            threads.async {
                // Queues that wait have a thread each.
                let gate = DispatchSemaphore(value: 0)
                let queues = (1...64).map { DispatchQueue(label: "waits \($0)") }
                for queue in queues { queue.async { gate.wait() } }
                for _ in queues { gate.signal() }
            }
            #expect(try await capture(command).text == "postgres\n")
        }
    }

    @Test func `that do not exist, or whose arguments cannot be passed, are refused`() async throws {
        let missing = await #expect(throws: BackupError.self) {
            try await run(ChildCommand("/no/such/program")) { _ in }
        }
        #expect(missing?.code == .toolMissing)
        let relative = await #expect(throws: BackupError.self) { try await run(ChildCommand("true")) { _ in } }
        #expect(relative?.code == .usage)
        let zero = await #expect(throws: BackupError.self) {
            try await run(ChildCommand("/bin/true", environment: ["A": "s3cret\0"])) { _ in }
        }
        #expect(zero?.code == .usage)
        #expect(zero?.description.contains("s3cret") == false)
    }

    @Test func `inherit nothing but what is given`() async throws {
        let (_, text) = try await capture(ChildCommand("/usr/bin/env", environment: ["ONLY": "this"]))
        #expect(text == "ONLY=this\n")
        let inherited = ChildCommand.environment(inheritedFrom: ["PATH": "p", "LC_TIME": "C", "PGPASSWORD": "s3cret"])
        #expect(inherited == ["PATH": "p", "LC_TIME": "C"])
    }

    @Test func `get no descriptors but the three, and no terminal`() async throws {
        let result = try await run(shell("ls /proc/self/fd | wc -l >&2; tty <&0 >&2"), input: .pipe, output: .pipe) {
            _ in
        }
        // The fourth is ls' own, of the directory it lists.
        #expect(result.outcome.standardErrorTail == "4\nnot a tty\n")
    }

    @Test func `with much output and much error output do not stall`() async throws {
        let script = "head -c 1000000 /dev/zero | tr '\\0' e >&2 & head -c 20000000 /dev/zero; wait; echo end >&2"
        let result = try await run(shell(script), output: .pipe) { streams in
            await countBytes(streams.takeStandardOutput())
        }
        let count = try result.body.get()
        #expect(count == 20_000_000)
        #expect(result.outcome.status == .exited(0))
        #expect(result.outcome.standardErrorTail.utf8.count <= 16 << 10)
        #expect(result.outcome.standardErrorTail.hasSuffix("end\n") || result.outcome.standardErrorTail.isEmpty)
    }

    @Test func `keep only the end of their error output, by whole lines`() async throws {
        let result = try await run(shell("seq -f %010.0f 1 200000 >&2")) { _ in }
        let lines = result.outcome.standardErrorTail.split(separator: "\n")
        #expect(result.outcome.standardErrorTail.utf8.count <= 16 << 10)
        #expect(lines.last == "0000200000")
        #expect(lines.allSatisfy { $0.count == 10 })
        #expect(lines.count > 1400)
    }

    @Test func `read what is written to them until their input is closed`() async throws {
        let result = try await run(shell("wc -c"), input: .pipe, output: .pipe) { streams in
            let input = streams.takeStandardInput()
            let error = try await writeZeros(5, to: input)
            #expect(error == 0)
            close(input)
            return await readText(streams.takeStandardOutput())
        }
        #expect(try result.value(of: shell("")) == "5242880\n")
    }

    @Test func `that end before all was written to them are the cause, not the broken pipe`() async throws {
        let brokenPipe = BackupError(.pipeBroken, "Writing failed.", remedy: "None.")
        let command = shell("echo 'bad input' >&2; exit 4")
        let result = try await run(command, input: .pipe) { streams in
            let input = streams.takeStandardInput()
            defer { close(input) }
            if try await writeZeros(5, to: input) == EPIPE { throw brokenPipe }
        }
        #expect(result.outcome.status == .exited(4))
        let error = #expect(throws: BackupError.self) { try result.value(of: command) }
        #expect(error?.reason == "bad input")
    }

    @Test func `are ended when the body fails, and the body's error is the cause`() async throws {
        struct DiskFull: Error {}
        let command = ChildCommand("/bin/sleep", arguments: ["600"])
        let result = try await run(command, input: .pipe) { _ in throw DiskFull() }
        #expect(result.outcome.status == .signalled(SIGTERM))
        #expect(throws: DiskFull.self) { try result.value(of: command) }
    }

    @Test func `are ended with their process group when the task is cancelled`() async throws {
        let (started, announce) = AsyncStream.makeStream(of: Int32.self)
        let task = Task {
            try await run(shell("sleep 600 & wait"), output: .pipe) { streams in
                announce.yield(streams.processIdentifier)
                return await countBytes(streams.takeStandardOutput())
            }
        }
        let process = try #require(await started.first { _ in true })
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(kill(process, 0) != 0)
        #expect(await eventually { kill(-process, 0) != 0 })
    }

    @Test func `that ignore the request to end are killed`() async throws {
        let (started, announce) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            try await run(shell("trap '' TERM; echo ready; while :; do sleep 1; done"), output: .pipe) { streams in
                let output = streams.takeStandardOutput()
                _ = await readSome(output, limit: 1)
                announce.yield()
                return await countBytes(output)
            }
        }
        _ = await started.first { _ in true }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func `that leave another process with their output open do not keep us`() async throws {
        let kept = try await capture(shell("sleep 600 & echo $!"))
        #expect(kept.outcome.isSuccess)
        let leftover = try #require(Int32(kept.text.prefix { $0.isNumber }))
        kill(leftover, SIGKILL)
        let raw = try await run(shell("sleep 600 & echo done"), output: .pipe) { streams in
            await readText(streams.takeStandardOutput())
        }
        #expect(try raw.body.get() == "done\n")
        #expect(raw.outcome.status == .exited(0))
    }
}

/// The next bytes that `descriptor` gives; none at its end.
private func readSome(_ descriptor: Int32, limit: Int = 1 << 20) async -> [UInt8] {
    await withCheckedContinuation { continuation in
        DispatchIO.read(fromFileDescriptor: descriptor, maxLength: limit, runningHandlerOn: .global()) { data, _ in
            continuation.resume(returning: Array(data))
        }
    }
}

private func countBytes(_ descriptor: Int32) async -> Int {
    defer { close(descriptor) }
    var total = 0
    while case let bytes = await readSome(descriptor), !bytes.isEmpty { total += bytes.count }
    return total
}

private func readText(_ descriptor: Int32) async -> String {
    defer { close(descriptor) }
    var text: [UInt8] = []
    while case let bytes = await readSome(descriptor), !bytes.isEmpty { text += bytes }
    return String(decoding: text, as: UTF8.self)
}

/// Writes zeros; returns 0, or the number of the error.
private func writeZeros(_ mebibytes: Int, to descriptor: Int32) async throws -> Int32 {
    let source = ChildCommand("/usr/bin/head", arguments: ["-c", "\(mebibytes << 20)", "/dev/zero"])
    return try await run(source, output: .pipe) { streams in
        let output = streams.takeStandardOutput()
        defer { close(output) }
        while true {
            let error: Int32? = await withCheckedContinuation { continuation in
                DispatchIO.read(
                    fromFileDescriptor: output, maxLength: 1 << 20, runningHandlerOn: .global()
                ) { zeros, _ in
                    guard !zeros.isEmpty else { return continuation.resume(returning: nil) }
                    DispatchIO.write(toFileDescriptor: descriptor, data: zeros, runningHandlerOn: .global()) {
                        continuation.resume(returning: $1)
                    }
                }
            }
            guard let error else { return 0 }
            if error != 0 { return error }
        }
    }.body.get()
}
