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

    mutating func append(_ entry: Entry) {
        if entries.count == Self.limit {
            entries.removeLast()
            omitted += 1
        }
        entries.append(entry)
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
