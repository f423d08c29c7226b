package import BackupModel

/// The end of an object in zstd format that proves all bytes before it and says what its reader must know.
///
/// It is a skippable frame, so that `zstd -d` reads the object as if it were not there: the magic number `0x184D2A5A`,
/// the length of what follows in four bytes, a payload, the payload's length in four bytes, and the SHA-256 of all bytes
/// of the object before it. Numbers have their least significant byte first (RFC 8878, 3.1.2).
package enum ObjectTrailer {
    private static let magic: [UInt8] = [0x5A, 0x2A, 0x4D, 0x18]
    /// The payload's length and the digest.
    private static let proofLength = 36
    /// The magic number and the frame's length.
    private static let headerLength = 8

    /// The bytes of a trailer but the digest, which is of everything before it, these bytes included.
    static func withoutDigest(_ payload: [UInt8]) -> [UInt8] {
        magic + littleEndian(payload.count + proofLength) + payload + littleEndian(payload.count)
    }

    /// What the end of an object says.
    package struct Content: Sendable, Hashable {
        package var payload: [UInt8]
        /// SHA-256 of all bytes of the object but the last 32.
        package var proof: SHA256Digest
    }

    /// Reads the trailer of an object of `size` bytes, which is at most `limit` bytes long; the bytes before it are not
    /// compared.
    package static func read(
        _ key: ObjectKey, size: Int64, from storage: any Storage, limit: Int = 1 << 20
    ) throws(BackupError) -> Content {
        let guess = Int(min(size, 4096))
        guard guess >= headerLength + proofLength else { throw damaged(key, "it is too short") }
        var end = try storage.read(key, at: size - Int64(guess), count: guess)
        let payloadLength = number(end, at: end.count - proofLength)
        let length = headerLength + payloadLength + proofLength
        guard length <= min(Int(clamping: size), limit) else {
            throw damaged(key, "its trailer has an impossible length")
        }
        if length > end.count { end = try storage.read(key, at: size - Int64(length), count: length) }
        let trailer = Array(end.suffix(length))
        guard Array(trailer.prefix(4)) == magic, number(trailer, at: 4) == length - headerLength else {
            throw damaged(key, "it does not end with a trailer")
        }
        return Content(
            payload: Array(trailer[headerLength..<headerLength + payloadLength]),
            proof: SHA256Digest(bytes: Array(trailer.suffix(32))))
    }

    package static func damaged(_ key: ObjectKey, _ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "'\(key)' is damaged.", reason: reason,
            remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists everything that is damaged.")
    }

    private static func littleEndian(_ number: Int) -> [UInt8] {
        stride(from: 0, to: 32, by: 8).map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}

/// Writes one object that ends with a trailer.
package final class ProvedObjectWriter: ByteSink {
    /// The bytes written so far.
    package private(set) var byteCount: Int64 = 0
    private let object: any ObjectWriter
    private var hash = SHA256()

    package init(_ object: any ObjectWriter) { self.object = object }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        hash.update(bytes)
        byteCount += Int64(bytes.count)
        try object.write(bytes)
    }

    /// Ends the object with a trailer of no payload.
    package func finish() throws(BackupError) { _ = try finish(payload: []) }

    /// Ends the object with a trailer and publishes it; returns what proves it.
    package func finish(payload: [UInt8]) throws(BackupError) -> SHA256Digest {
        try write(ObjectTrailer.withoutDigest(payload).span)
        let proof = hash.finish()
        byteCount += 32
        try object.write(proof.bytes.span)
        try object.finish()
        return proof
    }

    package func discard() { object.discard() }
}

/// Proves an object that ends with a trailer while it is read.
package final class ObjectProof: ByteSink {
    private let key: ObjectKey
    private let next: (any ByteSink)?
    private var hash = SHA256()
    private var tail: [UInt8] = []
    /// The bytes read so far.
    package private(set) var byteCount: Int64 = 0
    /// What proved the object; there is none before ``finish()``.
    package private(set) var proof: SHA256Digest?

    /// Passes the bytes on as they come, and the last 32 when the object is proved.
    package init(of key: ObjectKey, into next: (any ByteSink)? = nil) {
        self.key = key
        self.next = next
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        byteCount += Int64(bytes.count)
        guard bytes.count >= 32 else {
            var held = tail
            held.append(copying: bytes)
            let surplus = max(0, held.count - 32)
            try pass(held.span.extracting(0..<surplus))
            tail = Array(held.dropFirst(surplus))
            return
        }
        let held = tail
        try pass(held.span)
        tail.removeAll(keepingCapacity: true)
        try pass(bytes.extracting(0..<bytes.count - 32))
        tail.append(copying: bytes.extracting((bytes.count - 32)..<bytes.count))
    }

    /// Compares the digest; the next stage is not finished.
    package func finish() throws(BackupError) {
        guard tail.count == 32 else { throw ObjectTrailer.damaged(key, "it is too short") }
        let found = hash.finish()
        guard found.bytes == tail else {
            throw ObjectTrailer.damaged(key, "its SHA-256 is \(found), and its end says \(SHA256Digest(bytes: tail))")
        }
        proof = found
        try next?.write(found.bytes.span)
    }

    private func pass(_ bytes: Span<UInt8>) throws(BackupError) {
        guard !bytes.isEmpty else { return }
        hash.update(bytes)
        try next?.write(bytes)
    }
}
