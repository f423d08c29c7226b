/// A list that cannot grow long: at most 64 entries, the first ones and always the last.
///
/// In a record it is left out while it is empty.
package struct Few<Entry: Sendable & Hashable & Codable>: Sendable, Hashable, Codable {
    /// The entries, in the order in which they came.
    package private(set) var entries: [Entry] = []
    /// How many more there were, between the last two entries.
    package private(set) var omitted = 0

    /// The most entries that are kept.
    package static var limit: Int { 64 }

    /// No entries.
    package init() {}

    mutating func append(_ entry: Entry) {
        if entries.count == Self.limit {
            entries.removeLast()
            omitted = omitted.addingClamped(1)
        }
        entries.append(entry)
    }

    /// Adds all that another list had, as if each of its entries had come by itself.
    mutating func append(contentsOf other: Few) {
        for entry in other.entries.dropLast() { append(entry) }
        guard let last = other.entries.last else { return }
        // What the other one left out came before its last entry.
        omitted = omitted.addingClamped(other.omitted)
        append(last)
    }

    /// How many entries there were, those that were left out too.
    package var count: Int { entries.count.addingClamped(omitted) }

    /// Reads a list that could have been written: not longer than ``limit``, and full if anything was left out.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        entries = try container.decode([Entry].self, forKey: .entries)
        omitted = try container.decode(Int.self, forKey: .omitted)
        guard entries.count <= Self.limit, omitted >= 0, omitted == 0 || entries.count == Self.limit else {
            throw DecodingError.dataCorruptedError(
                forKey: .entries, in: container,
                debugDescription: "\(entries.count) entries and \(omitted) that were left out")
        }
    }

    private enum CodingKeys: String, CodingKey {
        case entries
        case omitted
    }
}

extension Int {
    /// The sum of two numbers that are not negative, or the greatest number there is.
    func addingClamped(_ other: Int) -> Int {
        let (sum, overflow) = Swift.max(0, self).addingReportingOverflow(Swift.max(0, other))
        return overflow ? .max : sum
    }
}

// The compiler calls these for properties of this type in the conformances that it makes.

extension KeyedEncodingContainer {
    mutating func encode<Entry>(_ list: Few<Entry>, forKey key: Key) throws {
        try encodeIfPresent(list.entries.isEmpty ? nil : list, forKey: key)
    }
}

extension KeyedDecodingContainer {
    func decode<Entry>(_ type: Few<Entry>.Type, forKey key: Key) throws -> Few<Entry> {
        try decodeIfPresent(type, forKey: key) ?? Few()
    }
}
