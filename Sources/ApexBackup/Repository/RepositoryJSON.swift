package import BackupModel
import BackupStorage
import FoundationEssentials

/// The JSON objects of a repository: sorted keys, and a last line that proves the bytes before it.
package enum RepositoryJSON {
    /// The stored bytes of `value`.
    package static func encode(_ value: some Encodable) throws(BackupError) -> [UInt8] {
        SelfProof.seal(try encodePlain(value, pretty: true))
    }

    /// The value stored as `bytes` under `name`.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], name: String
    ) throws(BackupError) -> Value {
        let json = try SelfProof.open(bytes, name: name)
        return try decodePlain(type, from: json, name: name)
    }

    /// `value` as JSON without the proof; with `pretty`, for people too.
    package static func encodePlain(_ value: some Encodable, pretty: Bool) throws(BackupError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            pretty ? [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value)) + (pretty ? [UInt8(ascii: "\n")] : [])
        } catch {
            throw BackupError(
                .storageFailed, "A \(type(of: value)) cannot be written as JSON.", reason: "\(error)",
                remedy: "This is a defect of apex-backup: report it with this message.")
        }
    }

    package static func decodePlain<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], name: String
    ) throws(BackupError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw BackupError(
                .objectDamaged, "The object '\(name)' is not what its name says.",
                reason: describe(error),
                remedy:
                    "Run 'apex-backup verify --all' and restore the repository from its copy, or use another backup.")
        }
    }

    private static func describe(_ error: any Error) -> String {
        switch error as? DecodingError {
        case .keyNotFound(let key, _): "the field '\(key.stringValue)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        default: "not JSON"
        }
    }
}
