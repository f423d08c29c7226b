package import BackupModel
import BackupStorage

/// A drill policy as a file.
package enum DrillPolicyText {
    /// The policy in the file at `path`, and SHA-256 of the file.
    package static func read(_ path: String) throws(BackupError) -> (policy: DrillPolicy, digest: SHA256Digest) {
        let bytes = try EffectivePolicy.readBytes(path, what: "drill policy")
        let policy = try DrillPolicyFile.parse(StrictYAML.text(bytes, fileName: path), fileName: path)
        return (policy, SHA256.digest(of: bytes.span))
    }
}
