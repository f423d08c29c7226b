/// What an object store was found able to do when the repository was made; part of its `repository.json`.
public struct StoreAbilities: Sendable, Hashable, Codable {
    /// Whether it refuses to put an object under a name that is taken, also when a multipart upload is completed.
    public var conditionalWrites: Bool
    /// Whether it compares what it is sent with a SHA-256 of it.
    public var checksums: Bool
    /// Whether its listings are in the order of the names' bytes, `a-b` before `a/b`.
    public var orderedListing: Bool

    /// What a store can do.
    public init(conditionalWrites: Bool, checksums: Bool, orderedListing: Bool) {
        self.conditionalWrites = conditionalWrites
        self.checksums = checksums
        self.orderedListing = orderedListing
    }

    /// Whether nothing is lacking.
    var isComplete: Bool { conditionalWrites && checksums && orderedListing }

    /// What every store can do: with it nothing goes wrong, but writing takes more requests.
    public static let least = StoreAbilities(conditionalWrites: false, checksums: false, orderedListing: false)
}
