import BackupModel
import BackupStorage
import Glibc
import TestSupport
import Testing

@Suite struct `A spool` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var spool: SpoolDirectory {
        get throws { try SpoolDirectory("mine", ofSpool: directory.path(of: "spool")) }
    }

    @Test func `has a file by its name only when it is complete`() throws {
        let spool = try spool
        do {
            let file = try SpoolFile("a", in: spool)
            try file.write([1, 2].span)
            try file.finish()
            #expect(try spool.names() == ["a.unfinished"])
        }
        #expect(try spool.names().isEmpty)
        let file = try SpoolFile("a", in: spool)
        try file.write([1, 2].span)
        try file.finish { "a-\($0.size)" }
        #expect(try spool.names() == ["a-2"])
        try directory.write([1], to: "spool/mine/b.unfinished")
        try directory.write([1], to: "spool/mine/c.unfinished")
        try spool.removeUnfinished { $0 != "c" }
        #expect(try spool.names().sorted() == ["a-2", "c.unfinished"])
    }

    @Test func `removes what others have left there, with all that is in it`() throws {
        let spool = try spool
        try directory.write([1], to: "spool/my-old/a")
        try directory.write([1], to: "spool/other/a")
        let siblings = try spool.siblings("m")
        #expect(siblings.map(\.path) == [directory.path(of: "spool/my-old")])
        for sibling in siblings { try sibling.removeAll() }
        #expect(try directory.contents() == ["spool", "spool/mine", "spool/other", "spool/other/a"])
    }

    @Test func `is made in a directory that is there, and nowhere else`() {
        #expect(throws: BackupError.self) {
            try SpoolDirectory("mine", ofSpool: directory.path(of: "nowhere/spool"))
        }
    }

    @Test func `locks a number for one, and wakes who waits for it`() async throws {
        let spool = try spool
        let first = try spool.locks("locks")
        #expect(try first.take(7))
        let second = try spool.locks("locks")
        #expect(try !second.take(7) && second.take(8))
        do {
            let impatient = try spool.locks("locks")
            #expect(try !impatient.take(7, waitingUpTo: .milliseconds(10)))
        }
        let waiting = Task.detached { try second.take(7, waitingUpTo: .seconds(60)) }
        first.giveBack(7)
        #expect(try await waiting.value)
    }

    @Test func `gives back the locks of a process that was killed`() async throws {
        let spool = try spool
        let script = """
            import fcntl, struct, sys, time
            file = open(sys.argv[1], "r+b")
            fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 7, 1, 0))
            time.sleep(600)
            """
        let locks = try spool.locks("locks")
        let holder = try await CommandLineTool(executable: "/usr/bin/python3").start(
            ["-c", script, "\(spool.path)/locks"])
        // Looked at and not tried, which would keep the other one from taking it.
        #expect(try await eventually { try spool.locks("locks").isTaken(7) == true })
        let waiting = Task.detached { try locks.take(7, waitingUpTo: .seconds(60)) }
        holder.send(9)
        #expect(try await waiting.value)
    }

    @Test func `is worked on by a process that has nothing of the one that started it`() async throws {
        let file = directory.path(of: "facts")
        let script = """
            { readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; ps -o sid= -p $$; echo $$; echo "$A"; \
            for f in /proc/$$/fd/*; do echo "fd ${f##*/}"; done; } >"$1.new" 2>&1; mv "$1.new" "$1"
            """
        // Something that would be inherited, under a number that a shell does not take for itself.
        let opened = unsafe open(directory.path(of: "open"), O_RDWR | O_CREAT, 0o600)
        let inherited = fcntl(opened, F_DUPFD, 500)
        close(opened)
        try #require(inherited >= 500)
        defer { close(inherited) }
        try startDetached("/bin/sh", ["-c", script, "sh", file], environment: ["A": "b", "PATH": "/usr/bin:/bin"])
        #expect(await eventually { (try? directory.read("facts")) != nil })
        let lines = String(decoding: try directory.read("facts"), as: UTF8.self).split(separator: "\n").map {
            String($0.drop { $0 == " " })
        }
        #expect(lines.count >= 6 && lines[0] == "/dev/null" && lines[5] == "b", "\(lines)")
        #expect(lines[3] == lines[4], "it leads a session: \(lines)")
        #expect(lines.contains("fd 0") && !lines.contains("fd \(inherited)"), "\(lines)")
    }
}
