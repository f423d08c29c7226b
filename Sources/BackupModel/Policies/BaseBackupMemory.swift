/// How much memory a base backup takes, and how many workers fit into what it may take.
package enum BaseBackupMemory {
    /// What is allowed where the policy says nothing.
    package static let standard: Int64 = 128 << 20

    /// The program itself, the stream of WAL, and the pieces that wait.
    private static let program: Int64 = 56 << 20

    /// One worker: two pieces, a frame, and what the compression keeps.
    private static func perWorker(_ compression: Compression) -> Int64 {
        DumpMemory.perDump(compression) + 2 * Int64(FrameReference.largestContent)
    }

    /// How many workers to run: `asked`, or as many as there are processors and at most four; `writer` is what the
    /// storage takes for each, and for the WAL beside them.
    package static func workers(
        asked: Int?, processors: Int, limit: Int64?, compression: Compression, writer: Int64 = 0
    ) throws(BackupError) -> Int {
        let limit = limit ?? standard
        let one = perWorker(compression) + writer
        let fitting = (limit - program - writer) / one
        guard fitting >= 1 else {
            throw BackupError(
                .settings,
                "A base backup compressed with \(compression) does not fit into \(formatBytes(limit)) of memory.",
                reason: "one worker needs \(formatBytes(program + writer + one))",
                remedy: "Raise backup.memory, or choose another compression.", unchanged: "No backup was taken.")
        }
        return min(asked ?? min(4, processors), Int(min(fitting, 64)))
    }
}
