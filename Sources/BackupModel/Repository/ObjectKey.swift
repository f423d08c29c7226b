/// The name of one object in a repository: components separated by `/`, relative to the repository's root.
///
/// A key cannot leave the repository: no empty component, no `.` or `..`, no control character, no backslash, no
/// leading or trailing slash, at most 1,024 bytes.
public struct ObjectKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The whole key.
    public let text: String

    /// Returns `nil` unless `text` is a safe key.
    public init?(parsing text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.count <= 1024 else { return nil }
        for component in text.split(separator: "/", omittingEmptySubsequences: false)
        where !Self.isSafeComponent(component) { return nil }
        self.text = String(text)
    }

    /// A key made of components that this program chose itself.
    package init(_ components: String...) {
        let text = components.joined(separator: "/")
        precondition(ObjectKey(parsing: text) != nil, "'\(text)' is not an object key")
        self.text = text
    }

    /// The key of `name`, which may itself have several components, below this key.
    package func appending(_ name: String) -> ObjectKey { ObjectKey(text, name) }

    /// The last component.
    public var lastComponent: Substring { text.split(separator: "/").last ?? "" }

    /// The folder that it is in; `nil` at the top.
    package var folder: ObjectKey? { ObjectKey(parsing: text.dropLast(lastComponent.count + 1)) }

    /// The key.
    public var description: String { text }

    /// Whether `lhs` sorts before `rhs`, byte by byte.
    public static func < (lhs: ObjectKey, rhs: ObjectKey) -> Bool {
        lhs.text.utf8.lexicographicallyPrecedes(rhs.text.utf8)
    }

    /// Whether `component` may be one component of a key.
    public static func isSafeComponent(_ component: some StringProtocol) -> Bool {
        !component.isEmpty && component != "." && component != ".." && component.utf8.count <= 255
            && component.utf8.allSatisfy {
                $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\")
            }
    }
}
