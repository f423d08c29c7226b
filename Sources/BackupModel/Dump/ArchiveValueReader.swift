/// Reads the integers, strings and offsets of an archive from chunks that may be cut anywhere.
///
/// Each function takes what is there and answers "not yet" until its value is whole; only one value is read at a time.
struct ArchiveValueReader: Sendable {
    /// Bytes of an integer behind its sign.
    var integerSize = 4
    /// Bytes of an offset behind its state.
    var offsetSize = 8

    /// The offset state of an entry without data (`K_OFFSET_NO_DATA`).
    static let noData: UInt8 = 3

    /// The state of an offset or the sign of an integer, once it was read.
    private var lead: UInt8?
    private var magnitude: UInt64 = 0
    private var bytesRead = 0
    private var stringBytesLeft: Int64?
    private var kept: [UInt8] = []

    /// Whether the last string was null.
    private(set) var isNull = false

    /// Whether an integer, string or offset has begun and is not whole.
    var isInsideValue: Bool { lead != nil || stringBytesLeft != nil }

    /// Whether the last string had nothing that was kept.
    var isEmpty: Bool { kept.isEmpty }

    /// What was kept of the last string.
    var text: String { String(decoding: kept, as: UTF8.self) }

    /// A sign and the magnitude, least significant byte first.
    mutating func integer(_ bytes: Span<UInt8>, _ position: inout Int) -> Int64? {
        guard let lead = wholeValue(integerSize, bytes, &position) else { return nil }
        let value = Int64(truncatingIfNeeded: magnitude)
        return lead == 0 ? value : 0 &- value
    }

    /// A state and a file position; the answer is the state.
    mutating func offsetState(_ bytes: Span<UInt8>, _ position: inout Int) -> UInt8? {
        wholeValue(offsetSize, bytes, &position)
    }

    /// A length and as many bytes, of which at most `limit` are kept; a negative length is null.
    ///
    /// Answers whether the string is whole.
    mutating func string(_ bytes: Span<UInt8>, _ position: inout Int, keeping limit: Int = 4096) -> Bool {
        if stringBytesLeft == nil {
            guard let length = integer(bytes, &position) else { return false }
            kept.removeAll(keepingCapacity: true)
            isNull = length < 0
            stringBytesLeft = max(0, length)
        }
        guard let left = stringBytesLeft else { return false }
        let taken = Int(min(left, Int64(bytes.count - position)))
        for index in position..<position + min(taken, max(0, limit - kept.count)) { kept.append(bytes[index]) }
        position += taken
        stringBytesLeft = left == Int64(taken) ? nil : left - Int64(taken)
        return stringBytesLeft == nil
    }

    /// Reads a leading byte and `size` more into `magnitude`; returns the leading byte once all are there.
    private mutating func wholeValue(_ size: Int, _ bytes: Span<UInt8>, _ position: inout Int) -> UInt8? {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            guard let begun = lead else {
                lead = byte
                magnitude = 0
                bytesRead = 0
                continue
            }
            magnitude |= UInt64(byte) << UInt64(8 * bytesRead)
            bytesRead += 1
            if bytesRead == size {
                lead = nil
                return begun
            }
        }
        return nil
    }
}
