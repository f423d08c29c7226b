package import BackupModel

/// What a store needs of the program that uses it.
package struct S3Environment: Sendable {
    /// The environment variables that AWS's tools read.
    package var variables: [String: String]
    /// The wall clock, in UTC, which requests are signed with.
    package var wall: @Sendable () -> Timestamp
    /// A clock that never steps, for durations.
    package var monotonic: @Sendable () -> Duration
    /// The content of a file, or `nil` if there is none.
    package var readFile: @Sendable (String) throws(BackupError) -> [UInt8]?
    /// Whether this program is to end: asked on threads that have no task, too.
    package var isEnding: @Sendable () -> Bool

    package init(
        variables: [String: String], wall: @escaping @Sendable () -> Timestamp,
        monotonic: @escaping @Sendable () -> Duration,
        readFile: @escaping @Sendable (String) throws(BackupError) -> [UInt8]?,
        isEnding: @escaping @Sendable () -> Bool = { Task.isCancelled }
    ) {
        self.variables = variables
        self.wall = wall
        self.monotonic = monotonic
        self.readFile = readFile
        self.isEnding = isEnding
    }
}
