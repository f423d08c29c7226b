/// How much memory a logical backup takes, and how many dumps at once fit into what it may take.
package enum DumpMemory {
    /// What is allowed where the policy says nothing.
    package static let standard: Int64 = 64 << 20

    /// What one dump at a time needs with the compression that needs least: with less, every backup would be refused.
    package static let smallest = program + perDump(.none)

    /// The program itself, without a dump.
    private static let program: Int64 = 40 << 20

    /// One dump: its buffers and, measured and rounded up, what the compression keeps.
    package static func perDump(_ compression: Compression) -> Int64 {
        guard case .zstd(let level) = compression else { return 6 << 20 }
        let kept: Int64 =
            switch level {
            case ...3: 4
            case ...6: 6
            case ...8: 9
            case 9: 17
            case ...11: 29
            case ...14: 53
            case ...18: 69
            default: 90
            }
        return (8 + kept) << 20
    }

    /// How many dumps to run at once: `asked`, or as many as there are processors and at most two.
    ///
    /// A `limit` lowers either. Without one, ``standard`` lowers what was not asked for. `writer` is what the storage
    /// takes for each.
    package static func jobs(
        asked: Int?, processors: Int, limit: Int64?, compression: Compression, writer: Int64 = 0
    ) throws(BackupError) -> Int {
        let one = perDump(compression) + writer
        let fitting = ((limit ?? standard) - program) / one
        guard let limit else { return asked ?? max(1, min(2, processors, Int(fitting))) }
        guard fitting >= 1 else {
            throw BackupError(
                .settings, "A backup compressed with \(compression) does not fit into \(formatBytes(limit)) of memory.",
                reason: "one dump at a time needs \(formatBytes(program + one))",
                remedy: "Raise backup.memory, or choose another compression.", unchanged: "No backup was taken.")
        }
        return min(asked ?? min(2, processors), Int(min(fitting, 64)))
    }
}
