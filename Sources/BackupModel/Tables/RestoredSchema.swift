/// The schema in which tables of another moment come into a live database.
package enum RestoredSchema {
    /// The name for tables as they were at `moment`: `restored_20250127t143000z`.
    package static func name(at moment: Timestamp) -> String { "restored_\(moment.compact.lowercased())" }

    /// The first of `name`, `name_2`, `name_3` and so on that is not among `taken`, of at most 63 bytes.
    package static func free(_ name: String, besides taken: Set<String>) -> String {
        var candidate = name
        var number = 2
        while taken.contains(candidate) {
            candidate = name.asIdentifier(endingIn: "_\(number)")
            number += 1
        }
        return candidate
    }

    /// Names of what comes from several schemas into one: each its own or, where one before it has that, a free one.
    package static func distinct(_ names: [String]) -> [String] {
        var taken = Set(names)
        var given: Set<String> = []
        return names.map { name in
            if given.insert(name).inserted { return name }
            let other = free(name, besides: taken)
            taken.insert(other)
            return other
        }
    }

    /// The moment that the name tells: a time that was `asked` for, unless the nearest one to it is recovered;
    /// otherwise the time of the `last` transaction that was recovered, or of the planned `end`, as far as these are
    /// known, or up to when the `backup` itself has everything.
    package static func moment(
        asked: RestoreMoment?, isNearest: Bool, last: Timestamp?, end: Timestamp?, backup: Timestamp
    ) -> Timestamp {
        if case .time(let time) = asked, !isNearest { return time }
        return last ?? end ?? backup
    }
}
