/// How a stream is compressed before it is stored.
public enum Compression: Sendable, Hashable {
    /// Not at all.
    case none
    /// Plain gzip, level 1…9.
    case gzip(level: Int)
    /// Standard zstd, level 1…19.
    case zstd(level: Int)

    /// Reads `none`, `gzip`, `gzip:6`, `zstd` or `zstd:3`, and returns `nil` for everything else.
    ///
    /// Without a level gzip has 2 and zstd 1: as fast as they are, with little more to store than `gzip -6` leaves.
    public init?(parsing text: some StringProtocol) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let level = parts.count == 2 ? Int(parts[1]) : nil
        if parts.count == 2 {
            guard let level, String(level) == parts[1] else { return nil }
        }
        switch parts[0] {
        case "none" where parts.count == 1: self = .none
        case "gzip": self = .gzip(level: level ?? 2)
        case "zstd": self = .zstd(level: level ?? 1)
        default: return nil
        }
        guard hasKnownLevel else { return nil }
    }

    /// Whether the level is one that the format has.
    public var hasKnownLevel: Bool {
        switch self {
        case .none: true
        case .gzip(let level): (1...9).contains(level)
        case .zstd(let level): (1...19).contains(level)
        }
    }

    /// What a file compressed this way is called at the end: nothing, `.gz` or `.zst`.
    public var fileExtension: String {
        switch self {
        case .none: ""
        case .gzip: ".gz"
        case .zstd: ".zst"
        }
    }
}

extension Compression: CustomStringConvertible {
    /// `none`, `gzip:1`, `zstd:3`: always with the level.
    public var description: String {
        switch self {
        case .none: "none"
        case .gzip(let level): "gzip:\(level)"
        case .zstd(let level): "zstd:\(level)"
        }
    }
}

extension Compression: CodedAsText {
    /// What an error calls the text.
    public static var codedForm: String { "a compression: none, gzip:1…9 or zstd:1…19" }

    /// Reads the text that ``description`` is.
    public init?(codedText text: String) { self.init(parsing: text) }
}
