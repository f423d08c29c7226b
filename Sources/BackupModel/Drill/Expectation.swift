/// What a check expects.
package enum Expectation: Sendable, Hashable {
    /// Equal to the value; with ``CheckValue/null``, NULL.
    case equal(CheckValue)
    /// Different from the value; with ``CheckValue/null``, not NULL.
    case different(CheckValue)
    /// Less than.
    case less(CheckValue)
    /// At most.
    case atMost(CheckValue)
    /// Greater than.
    case greater(CheckValue)
    /// At least.
    case atLeast(CheckValue)
    /// From the first to the second, both included.
    case between(CheckValue, CheckValue)
    /// One of these.
    case oneOf([CheckValue])
    /// Has a part that the regular expression matches: PostgreSQL's `~`, which the server is asked for.
    case matches(String)
    /// As the backup's manifest says.
    case asInManifest
    /// This HTTP status.
    case status(Int)
    /// This exit status.
    case exit(Int32)

    /// The answer to a statement: it passes if there is one row of one column whose value meets the expectation.
    package func holds(forRows rows: [[String?]]) -> CheckOutcome {
        guard let row = rows.first else { return .failed("the statement returned no row") }
        guard rows.count == 1 else {
            return .failed("the statement returned \(rows.count) rows; one row of one column is expected")
        }
        guard row.count == 1, let value = row.first else {
            return .failed("the statement returned \(row.count) columns; one is expected")
        }
        return holds(for: value)
    }

    /// Whether `got`, with `nil` for NULL, meets the expectation.
    ///
    /// Two numbers are compared as numbers, exactly; anything else as text, byte by byte. A value that stands in quotes
    /// in the policy is a text. NULL meets only an expectation of NULL.
    package func holds(for got: String?) -> CheckOutcome {
        switch self {
        case .equal(let wanted): meets(Self.isEqual(got, wanted), got)
        case .different(let unwanted):
            meets(unwanted == .null || got != nil ? !Self.isEqual(got, unwanted) : false, got)
        case .less(let limit): meets(Self.isOrdered(got, limit) { $0 < 0 }, got)
        case .atMost(let limit): meets(Self.isOrdered(got, limit) { $0 <= 0 }, got)
        case .greater(let limit): meets(Self.isOrdered(got, limit) { $0 > 0 }, got)
        case .atLeast(let limit): meets(Self.isOrdered(got, limit) { $0 >= 0 }, got)
        case .between(let low, let high):
            meets(Self.isOrdered(got, low) { $0 >= 0 } && Self.isOrdered(got, high) { $0 <= 0 }, got)
        case .oneOf(let values): meets(values.contains { Self.isEqual(got, $0) }, got)
        case .matches: got == nil ? meets(false, got) : .notVerified("what a pattern matches is asked of the server")
        case .status(let status): meets(got == "\(status)", got)
        case .exit(let status): meets(got == "\(status)", got)
        case .asInManifest: .notVerified("what the manifest says is compared by the check itself")
        }
    }

    /// The expectation in words: `= 0`, `between 1 and 9`, `as in the manifest`.
    package var description: String {
        switch self {
        case .equal(let value): "= \(value.description)"
        case .different(let value): "≠ \(value.description)"
        case .less(let value): "< \(value.description)"
        case .atMost(let value): "≤ \(value.description)"
        case .greater(let value): "> \(value.description)"
        case .atLeast(let value): "≥ \(value.description)"
        case .between(let low, let high): "between \(low.description) and \(high.description)"
        case .oneOf(let values): "one of \(values.map(\.description).joined(separator: ", "))"
        case .matches(let pattern): "matches '\(pattern)'"
        case .asInManifest: "as in the manifest"
        case .status(let status): "status \(status)"
        case .exit(let status): "exit status \(status)"
        }
    }

    /// The outcome for `got`, of which somebody else found whether it `holds`.
    package func meets(_ holds: Bool, _ got: String?) -> CheckOutcome {
        if holds { return .passed }
        let value = CheckValue(answer: got).description
        return .failed(
            got == nil ? "the value is NULL; expected \(description)" : "got \(value), expected \(description)")
    }

    private static func isEqual(_ got: String?, _ wanted: CheckValue) -> Bool {
        switch wanted {
        case .null: got == nil
        case .boolean(let value):
            got.map { (value ? ["t", "true", "on"] : ["f", "false", "off"]).contains($0) } ?? false
        case .number, .text: isOrdered(got, wanted) { $0 == 0 }
        }
    }

    /// Whether `accepts` holds for the sign of the comparison of `got` with `limit`.
    private static func isOrdered(_ got: String?, _ limit: CheckValue, _ accepts: (Int) -> Bool) -> Bool {
        guard let got else { return false }
        switch limit {
        case .null, .boolean: return false
        case .number(let digits):
            if let left = DecimalText(got), let right = DecimalText(digits) {
                return accepts(left < right ? -1 : left == right ? 0 : 1)
            }
            return accepts(order(got, digits))
        case .text(let text): return accepts(order(got, text))
        }
    }

    private static func order(_ left: String, _ right: String) -> Int {
        if left.utf8.elementsEqual(right.utf8) { return 0 }
        return left.utf8.lexicographicallyPrecedes(right.utf8) ? -1 : 1
    }
}

extension Expectation: Codable {
    private enum CodingKeys: String, CodingKey {
        case eq, ne, lt, le, gt, ge, between
        case oneOf = "in"
        case matches, vs, status, exit
    }

    /// Reads an object with the one key that a policy has: `{"eq": 0}`, `{"between": [1, 9]}`, `{"vs": "manifest"}`.
    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: CodingKeys.self)
        func value(_ key: CodingKeys) throws -> CheckValue { try object.decode(CheckValue.self, forKey: key) }
        switch object.allKeys.first {
        case .eq: self = .equal(try value(.eq))
        case .ne: self = .different(try value(.ne))
        case .lt: self = .less(try value(.lt))
        case .le: self = .atMost(try value(.le))
        case .gt: self = .greater(try value(.gt))
        case .ge: self = .atLeast(try value(.ge))
        case .between:
            let limits = try object.decode([CheckValue].self, forKey: .between)
            guard limits.count == 2 else {
                throw DecodingError.dataCorruptedError(
                    forKey: .between, in: object, debugDescription: "'between' has two values")
            }
            self = .between(limits[0], limits[1])
        case .oneOf: self = .oneOf(try object.decode([CheckValue].self, forKey: .oneOf))
        case .matches: self = .matches(try object.decode(String.self, forKey: .matches))
        case .vs: self = .asInManifest
        case .status: self = .status(try object.decode(Int.self, forKey: .status))
        case .exit: self = .exit(try object.decode(Int32.self, forKey: .exit))
        case nil:
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "the expectation has no known key"))
        }
    }

    /// Writes that object.
    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .equal(let value): try object.encode(value, forKey: .eq)
        case .different(let value): try object.encode(value, forKey: .ne)
        case .less(let value): try object.encode(value, forKey: .lt)
        case .atMost(let value): try object.encode(value, forKey: .le)
        case .greater(let value): try object.encode(value, forKey: .gt)
        case .atLeast(let value): try object.encode(value, forKey: .ge)
        case .between(let low, let high): try object.encode([low, high], forKey: .between)
        case .oneOf(let values): try object.encode(values, forKey: .oneOf)
        case .matches(let pattern): try object.encode(pattern, forKey: .matches)
        case .asInManifest: try object.encode("manifest", forKey: .vs)
        case .status(let status): try object.encode(status, forKey: .status)
        case .exit(let status): try object.encode(status, forKey: .exit)
        }
    }
}
