/// Values that are kept because they may be asked for again, up to a number of them: then all are forgotten.
struct RecentValues<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let limit: Int
    private var values: [Key: Value] = [:]

    init(limit: Int) { self.limit = limit }

    var count: Int { values.count }

    subscript(key: Key) -> Value? {
        get { values[key] }
        set {
            if values.count >= limit, values[key] == nil { values.removeAll(keepingCapacity: true) }
            values[key] = newValue
        }
    }
}
