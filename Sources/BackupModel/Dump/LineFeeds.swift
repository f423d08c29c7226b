/// The line feeds in `bytes`.
///
/// The inner loop counts in one byte, at most 240 at a time, so that the compiler makes vector instructions of it.
func countLineFeeds(in bytes: Span<UInt8>) -> Int {
    var total = 0
    var start = 0
    while start < bytes.count {
        let end = min(start &+ 240, bytes.count)
        var found: UInt8 = 0
        var index = start
        while index < end {
            found &+= bytes[index] == ASCII.lineFeed ? 1 : 0
            index &+= 1
        }
        total &+= Int(found)
        start = end
    }
    return total
}
