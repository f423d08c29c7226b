/// A value that a check expects or got, as it stands in policies and reports.
package enum CheckValue: Sendable, Hashable {
    /// A number, in its own digits.
    case number(String)
    /// A text.
    case text(String)
    /// A truth value.
    case boolean(Bool)
    /// SQL's NULL.
    case null

    /// What a server answered: a number if it reads as one.
    package init(answer text: String?) {
        guard let text else {
            self = .null
            return
        }
        self = DecimalText(text) == nil ? .text(text) : .number(text)
    }

    /// The value in words.
    package var description: String {
        switch self {
        case .number(let digits): digits
        case .text(let text): "'\(text)'"
        case .boolean(let value): "\(value)"
        case .null: "NULL"
        }
    }
}

extension CheckValue: Codable {
    /// Reads a number, text, truth value or null.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .number(String(value))
        } else if let value = try? container.decode(Double.self) {
            self = .number("\(value)")
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    /// Writes a number as a number where no digit is lost, and as text where one would be.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let digits):
            if let value = Int64(digits) {
                try container.encode(value)
            } else if let value = Double(digits), value.isFinite, DecimalText("\(value)") == DecimalText(digits) {
                try container.encode(value)
            } else {
                try container.encode(digits)
            }
        case .text(let text): try container.encode(text)
        case .boolean(let value): try container.encode(value)
        case .null: try container.encodeNil()
        }
    }
}
