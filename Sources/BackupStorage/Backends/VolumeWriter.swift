package import BackupModel

/// Cuts a stream of unknown length into objects of at most a given size.
///
/// The first has the plain name, the next end in `.0001`, `.0002`: `cat` in that order gives the stream back. Each
/// volume is published as soon as it is full; what makes them count is the manifest that names them.
package final class VolumeWriter: ByteSink {
    /// 64 GiB: small enough for every object store, large enough that most artefacts have one.
    package static let standardSize: Int64 = 64 << 30

    /// The published volumes, in order; complete after ``finish()``.
    package private(set) var volumes: [StoredVolume] = []

    private let storage: any Storage
    private let key: ObjectKey
    private let volumeSize: Int64
    private var current: Volume?

    private struct Volume {
        let key: ObjectKey
        let object: any ObjectWriter
        let digest: DigestSink
    }

    /// Writes to `key` on `storage`; nothing is written before the first byte or ``finish()``.
    package init(
        _ storage: any Storage, key: ObjectKey, volumeSize: Int64 = VolumeWriter.standardSize
    ) {
        precondition(volumeSize > 0, "a volume holds at least one byte")
        self.storage = storage
        self.key = key
        self.volumeSize = volumeSize
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        var taken = 0
        while taken < bytes.count {
            let volume = try openVolume()
            let room = volumeSize - volume.digest.byteCount
            let length = Int(min(room, Int64(bytes.count - taken)))
            try volume.digest.write(bytes.extracting(taken..<taken + length))
            taken += length
        }
    }

    /// Publishes the last volume; an empty stream has one empty volume.
    package func finish() throws(BackupError) {
        if current == nil { try begin() }
        try publish()
    }

    /// Removes everything that was written, published volumes included.
    package func discard() throws(BackupError) {
        current?.object.discard()
        current = nil
        while let volume = volumes.last {
            try storage.remove(key.sibling(volume.name))
            volumes.removeLast()
        }
    }

    /// A volume with room, the last one being published when it is full.
    private func openVolume() throws(BackupError) -> Volume {
        if let current, current.digest.byteCount < volumeSize { return current }
        if current != nil { try publish() }
        return try begin()
    }

    @discardableResult
    private func begin() throws(BackupError) -> Volume {
        let key = Self.key(of: volumes.count, plain: key)
        let object = try storage.makeWriter(key)
        let volume = Volume(key: key, object: object, digest: DigestSink(into: object))
        current = volume
        return volume
    }

    private func publish() throws(BackupError) {
        guard let volume = current else { return }
        try volume.digest.finish()
        current = nil
        volumes.append(
            StoredVolume(
                name: String(volume.key.lastComponent), bytes: volume.digest.byteCount, sha256: volume.digest.digest))
    }

    private static func key(of index: Int, plain: ObjectKey) -> ObjectKey {
        guard index > 0 else { return plain }
        let number = String(index)
        let padded = String(repeating: "0", count: max(0, 4 - number.count)) + number
        return plain.sibling("\(plain.lastComponent).\(padded)")
    }
}

extension ObjectKey {
    /// The key of `name` in the same folder.
    package func sibling(_ name: String) -> ObjectKey { ObjectKey(text.dropLast(lastComponent.count) + name) }
}
