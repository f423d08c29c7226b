/// A number of bytes as people read it: `1.4 GiB`, `12 B`.
public func formatBytes(_ count: Int64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    guard count >= 1024 else { return "\(count) B" }
    var value = Double(count)
    var unit = 0
    while value >= 1023.95, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    return "\(formatFixed(value, digits: 1)) \(units[unit])"
}

/// `value` with a fixed number of decimals, rounded half away from zero; the standard library has no such function.
public func formatFixed(_ value: Double, digits: Int) -> String {
    guard value.isFinite else { return "?" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 9e15 else { return "\(value)" }
    let whole = Int64(scaled)
    let sign = value < 0 && whole != 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    let text = String(whole)
    let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    let split = padded.index(padded.endIndex, offsetBy: -digits)
    return "\(sign)\(padded[..<split]).\(padded[split...])"
}
