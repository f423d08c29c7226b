/// What is archived before PostgreSQL asks for it.
package enum WALPushAhead {
    /// How many files are taken from one look at `archive_status`.
    package static let batch = 64

    private static let waitingSuffix = ".ready"

    /// The file in `archive_status` that says that `name` waits.
    package static func statusFile(of name: String) -> String { name + waitingSuffix }

    /// The files that wait, in the order in which PostgreSQL asks for them: histories first, then by name.
    package static func waiting(_ statuses: [String]) -> [String] {
        statuses.filter { $0.hasSuffix(waitingSuffix) }.map { String($0.dropLast(waitingSuffix.count)) }
            .sorted { ($0.hasSuffix(".history") ? 0 : 1, $0) < ($1.hasSuffix(".history") ? 0 : 1, $1) }
    }

    /// The next files to archive: those that wait, but for those of which this was tried.
    package static func plan(_ statuses: [String], without tried: Set<String>) -> [String] {
        Array(waiting(statuses).lazy.filter { !tried.contains($0) }.prefix(batch))
    }

    /// Which of the `acknowledged` files nobody will ask for any more.
    package static func obsolete(_ acknowledged: Set<String>, statuses: [String]) -> Set<String> {
        acknowledged.subtracting(waiting(statuses))
    }

    /// The number by which the processes of a server lock `name` (FNV-1a, of 63 bits).
    package static func lockNumber(of name: String) -> Int64 {
        let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return Int64(hash >> 1)
    }
}
