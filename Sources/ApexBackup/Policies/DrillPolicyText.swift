package import BackupModel
import BackupStorage

/// A drill policy as a file.
package enum DrillPolicyText {
    /// The policy in the file at `path`, and SHA-256 of its text.
    package static func read(_ path: String) throws(BackupError) -> (policy: DrillPolicy, digest: SHA256Digest) {
        let text = try EffectivePolicy.readText(path, what: "drill policy")
        let policy = try DrillPolicyFile.parse(text, fileName: path)
        return (policy, SHA256.digest(of: Array(text.utf8).span))
    }
}
