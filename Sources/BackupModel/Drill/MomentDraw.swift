/// Draws moments by chance that is the same whenever it begins with the same seed (SplitMix64).
package struct MomentDraw: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt32) { state = UInt64(seed) }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// A moment from `start` to `end`.
    package mutating func moment(from start: Timestamp, to end: Timestamp) -> Timestamp {
        let length = UInt64(clamping: max(end.since(start), .zero).wholeMicroseconds)
        return start.advanced(by: .microseconds(Int64(clamping: next() % (length + 1))))
    }
}
