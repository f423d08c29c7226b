/// The database of a recovered server that tables are taken from.
package enum RecoveredDatabase {
    /// The one of `names` that was asked for as `wanted`, else the one called like the `target`, else the only one
    /// beside `postgres`.
    ///
    /// - Throws: ``ErrorCode/usage`` if none of these is there.
    package static func choose(
        among names: [String], wanted: String?, target: String
    ) throws(BackupError) -> String {
        let list = names.map { "'\($0)'" }.joined(separator: ", ")
        if let wanted {
            if names.contains(wanted) { return wanted }
            throw BackupError(
                .usage, "The recovered server has no database '\(wanted)'.", reason: "at that moment it has \(list)",
                remedy: "Correct the name, or recover to a moment at which it was there.")
        }
        if names.contains(target) { return target }
        let own = names.filter { $0 != "postgres" }
        if own.count == 1 { return own[0] }
        if names.count == 1 { return names[0] }
        throw BackupError(
            .usage, "The recovered server has several databases, and none is called '\(target)'.",
            reason: "at that moment it has \(list)", remedy: "Say which one has the tables: --database NAME.")
    }
}
