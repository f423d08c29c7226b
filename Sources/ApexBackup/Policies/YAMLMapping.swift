import BackupModel
import Yams

/// The keys that a mapping may have.
struct YAMLKeys {
    /// Keys that are read.
    let known: [String]
    /// Keys that have a meaning which this version does not carry out, and what to do instead.
    let later: [String: String]

    init(_ known: [String], later: [String: String] = [:]) {
        self.known = known
        self.later = later
    }
}

/// A mapping of a settings file, all of whose keys are known.
struct YAMLMapping {
    /// The mapping itself, for its position and path.
    let origin: YAMLValue
    /// The values, in the file's order.
    let entries: [(key: String, value: YAMLValue)]

    /// Reads `mapping`; `keys` is `nil` where any key may stand.
    init(_ mapping: Node.Mapping, origin: YAMLValue, keys: YAMLKeys?) throws(BackupError) {
        self.origin = origin
        var entries: [(key: String, value: YAMLValue)] = []
        for (keyNode, valueNode) in mapping {
            guard case .scalar(let scalar) = keyNode, !scalar.string.isEmpty else {
                throw origin.file.error(
                    "a key\(origin.inPlace) is not a plain word", at: YAMLPosition(keyNode.mark ?? mapping.mark))
            }
            let key = scalar.string
            let position = YAMLPosition(scalar.mark)
            if key == "<<" {
                throw origin.file.error(
                    "merge keys ('<<') are not allowed", at: position, remedy: "Write the keys out at each place.")
            }
            guard !entries.contains(where: { $0.key == key }) else {
                throw origin.file.error(
                    "key '\(key)' is given more than once\(origin.inPlace)", at: position,
                    remedy: "Keep one of them; which one would hold can not be guessed.")
            }
            if let keys { try Self.check(key, at: position, in: origin, keys: keys) }
            let path = origin.path.isEmpty ? key : "\(origin.path).\(key)"
            let value = YAMLValue(
                file: origin.file, node: valueNode, path: path, position: YAMLPosition(valueNode.mark) ?? position)
            entries.append((key, value))
        }
        self.entries = entries
    }

    /// The value of `key`, or `nil` if the mapping does not have it.
    subscript(key: String) -> YAMLValue? { entries.first { $0.key == key }?.value }

    /// The value of `key`, or an error with the position of the mapping if it does not have it.
    func required(_ key: String) throws(BackupError) -> YAMLValue {
        guard let value = self[key] else {
            throw origin.error("key '\(key)' is missing\(origin.inPlace)", remedy: "Add '\(key)'.")
        }
        return value
    }

    /// The mapping under `key`, or an error if there is none.
    func mapping(_ key: String, _ keys: YAMLKeys) throws(BackupError) -> YAMLMapping {
        try required(key).mapping(keys)
    }

    /// The mapping under `key`, or `nil` if the key is not there.
    func mappingIfPresent(_ key: String, _ keys: YAMLKeys) throws(BackupError) -> YAMLMapping? {
        guard let value = self[key] else { return nil }
        return try value.mapping(keys)
    }

    private static func check(
        _ key: String, at position: YAMLPosition?, in origin: YAMLValue, keys: YAMLKeys
    ) throws(BackupError) {
        if keys.known.contains(key) { return }
        if let remedy = keys.later[key] {
            throw origin.file.error(
                "key '\(key)'\(origin.inPlace) is not supported by this version", at: position, remedy: remedy)
        }
        let hint = nearest(to: key, among: keys.known).map { "; did you mean '\($0)'?" } ?? ""
        throw origin.file.error(
            "unknown key '\(key)'\(origin.inPlace)\(hint)", at: position,
            remedy: "The keys here are \(keys.known.joined(separator: ", ")).")
    }
}
