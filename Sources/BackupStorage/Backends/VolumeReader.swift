package import BackupModel

/// Writes the volumes to `sink`, in order and without finishing it, and proves size and digest of each on the way.
///
/// The bytes reach `sink` before they are proved: nothing that came of them counts until this has returned.
/// - Throws: ``ErrorCode/objectMissing`` or ``ErrorCode/objectDamaged``, naming the object; also when it is `sink` that
///   finds the damage.
package func readVolumes(
    _ volumes: [(key: ObjectKey, volume: StoredVolume)], from storage: any Storage, into sink: any ByteSink
) throws(BackupError) {
    for (key, volume) in volumes {
        let proof = VolumeProof(of: volume, at: key, into: sink)
        try storage.read(key, into: proof)
        try proof.finish()
    }
}

/// Passes on the bytes of one volume and throws as soon as they cannot be right.
private final class VolumeProof: ByteSink {
    private let volume: StoredVolume
    private let key: ObjectKey
    private let next: any ByteSink
    private var hash = SHA256()
    private var byteCount: Int64 = 0

    init(of volume: StoredVolume, at key: ObjectKey, into next: any ByteSink) {
        self.volume = volume
        self.key = key
        self.next = next
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        hash.update(bytes)
        byteCount += Int64(bytes.count)
        guard byteCount <= volume.bytes else {
            throw damaged("it is longer than the \(volume.bytes) bytes that were stored")
        }
        do { try next.write(bytes) } catch {
            guard error.code == .objectDamaged else { throw error }
            throw damaged(error.messageWithReason)
        }
    }

    func finish() throws(BackupError) {
        guard byteCount == volume.bytes else {
            throw damaged("it has \(byteCount) bytes, and \(volume.bytes) were stored")
        }
        let found = hash.finish()
        guard found == volume.sha256 else {
            throw damaged("its SHA-256 is \(found), and the manifest says \(volume.sha256)")
        }
    }

    private func damaged(_ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "'\(key)' is damaged.", reason: reason,
            remedy: "Put it back from a copy of the repository, or use another backup.")
    }
}
