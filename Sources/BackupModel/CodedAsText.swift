/// A value that stands in JSON as the text that describes it, and has no other spelling.
public protocol CodedAsText: Codable, CustomStringConvertible {
    /// What such a text is, as an error says that another one is none: `an LSN`.
    static var codedForm: String { get }

    /// Returns `nil` for a text that describes no value.
    init?(codedText: String)
}

extension CodedAsText {
    /// Reads the text.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(codedText: text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text)' is not \(Self.codedForm)")
        }
        self = value
    }

    /// Writes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
