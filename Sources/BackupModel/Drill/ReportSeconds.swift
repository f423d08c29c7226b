/// A duration that JSON holds as a number of seconds with at most six decimals.
package struct ReportSeconds: Sendable, Hashable, Codable {
    /// The duration, to the microsecond.
    package var duration: Duration

    /// The duration, rounded towards zero to the microsecond.
    package init(_ duration: Duration) { self.duration = .microseconds(duration.wholeMicroseconds) }

    /// Reads a number of seconds.
    package init(from decoder: any Decoder) throws {
        let seconds = try decoder.singleValueContainer().decode(Double.self)
        guard seconds.magnitude < 1e12 else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\(seconds) s is out of range"))
        }
        duration = .microseconds(Int64((seconds * 1e6).rounded()))
    }

    /// Writes a number of seconds.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        // The quotient is the number nearest to six decimals, so its shortest form has no more of them.
        try container.encode(Double(duration.wholeMicroseconds) / 1e6)
    }
}
