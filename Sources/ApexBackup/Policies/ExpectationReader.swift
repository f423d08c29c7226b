import BackupModel

/// Reads what an SQL check expects: `{eq: 0}`, `{between: [1, 9]}`, `{in: [a, b]}`, `{matches: "^16"}`.
///
/// A number without quotes is compared as a number, one in quotes as text.
enum ExpectationReader {
    private static let keys = YAMLKeys(
        ["eq", "ne", "lt", "le", "gt", "ge", "between", "in", "matches"],
        later: [
            "vs": "Write the value.", "jsonpath": "Take the value out in the statement.",
            "delta_pct": "Calculate it in the statement.",
        ])

    static func read(_ value: YAMLValue) throws(BackupError) -> Expectation {
        let mapping = try value.mapping(keys)
        guard let (key, wanted) = mapping.entries.first, mapping.entries.count == 1 else {
            throw value.error(
                "'\(value.path)' must have one key", remedy: "It may be \(keys.known.joined(separator: ", ")).")
        }
        switch key {
        case "eq": return .equal(try checkValue(wanted))
        case "ne": return .different(try checkValue(wanted))
        case "lt": return .less(try limit(wanted))
        case "le": return .atMost(try limit(wanted))
        case "gt": return .greater(try limit(wanted))
        case "ge": return .atLeast(try limit(wanted))
        case "between": return try between(wanted)
        case "in":
            var values: [CheckValue] = []
            for element in try wanted.list() { values.append(try checkValue(element)) }
            guard !values.isEmpty else { throw wanted.error("'\(wanted.path)' is an empty list; nothing is in it") }
            return .oneOf(values)
        default:
            return .matches(try wanted.string())
        }
    }

    private static func between(_ value: YAMLValue) throws(BackupError) -> Expectation {
        let limits = try value.list()
        guard limits.count == 2 else { throw value.error("'\(value.path)' must be a list of two values: [1, 9]") }
        let low = try limit(limits[0])
        let high = try limit(limits[1])
        if case .number = low, case .number(let most) = high,
            Expectation.atMost(high).holds(for: low.description).verdict == .fail
        {
            throw value.error("'\(value.path)' is empty: \(low.description) is greater than \(most)")
        }
        return .between(low, high)
    }

    private static func checkValue(_ value: YAMLValue) throws(BackupError) -> CheckValue {
        if value.isNull { return .null }
        let scalar = try value.scalar()
        if scalar.isQuoted { return .text(scalar.text) }
        switch scalar.text {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: return CheckValue(answer: scalar.text)
        }
    }

    private static func limit(_ value: YAMLValue) throws(BackupError) -> CheckValue {
        let wanted = try checkValue(value)
        switch wanted {
        case .number, .text: return wanted
        case .boolean, .null:
            throw value.error("'\(value.path)' must be a number or a text, not \(wanted.description)")
        }
    }
}
