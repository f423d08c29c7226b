/// Waiting for what nobody announces.
extension Clocks {
    /// Looks every `pause`, the first time at once, until `look` finds something.
    ///
    /// - Returns: What it found; `nil` if that was nothing when `limit` had passed.
    func find<Value>(
        within limit: Duration, every pause: Duration, _ look: () async throws -> Value?
    ) async throws -> Value? {
        let start = monotonic()
        while true {
            if let found = try await look() { return found }
            guard monotonic() - start < limit else { return nil }
            try await sleep(pause)
        }
    }

    /// Looks every `pause`, the first time at once, until something is so; returns whether it was so before `limit` had
    /// passed, or just then.
    func wait(
        within limit: Duration, every pause: Duration, until isSo: () async throws -> Bool
    ) async throws -> Bool {
        try await find(within: limit, every: pause) { try await isSo() ? true : nil } ?? false
    }
}
