internal import BackupModel
internal import Glibc

/// A fixed piece of memory in which a stage collects bytes before they go on.
@safe package final class ChunkBuffer {
    /// How many bytes are in it.
    package private(set) var count = 0
    private let memory: UnsafeMutableBufferPointer<UInt8>

    /// An empty buffer for up to `capacity` bytes.
    package init(capacity: Int) {
        precondition(capacity > 0, "a buffer without room would never fill")
        unsafe memory = .allocate(capacity: capacity)
    }

    deinit { unsafe memory.deallocate() }

    /// Whether there is no room left.
    package var isFull: Bool { unsafe count == memory.count }

    /// Copies as much of `bytes` as there is room for, and returns how much that is.
    package func append(_ bytes: Span<UInt8>) -> Int {
        unsafe bytes.withUnsafeBufferPointer { source in
            let length = unsafe min(source.count, memory.count - count)
            guard length > 0, let from = source.baseAddress, let to = unsafe memory.baseAddress else { return 0 }
            unsafe memcpy(to + count, from, length)
            count += length
            return length
        }
    }

    /// Calls `body` with what is in the buffer.
    package func withBytes<E, R>(_ body: (Span<UInt8>) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeBufferPointer(rebasing: memory[..<count]).span)
    }

    /// Makes the buffer empty.
    package func removeAll() { count = 0 }

    /// The room that is left; whoever fills a part of it says so with ``didFill(_:)``.
    @unsafe var room: UnsafeMutableBufferPointer<UInt8> { unsafe .init(rebasing: memory[count...]) }

    /// Counts `length` bytes at the beginning of ``room`` as being in the buffer.
    func didFill(_ length: Int) {
        precondition(unsafe length >= 0 && length <= memory.count - count, "a stage wrote past its buffer")
        count += length
    }
}

extension ChunkBuffer {
    /// Gives what is in the buffer to `next` and makes it empty.
    func flush(into next: any ByteSink) throws(BackupError) {
        guard count > 0 else { return }
        try withBytes { bytes throws(BackupError) in try next.write(bytes) }
        removeAll()
    }
}

extension [UInt8] {
    /// Appends a copy of `bytes`.
    package mutating func append(copying bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }
}

extension Span<UInt8> {
    /// Whether both hold the same bytes.
    package func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        return unsafe withUnsafeBufferPointer { own in
            unsafe other.withUnsafeBufferPointer { other in
                guard let own = own.baseAddress, let from = other.baseAddress else { return true }
                return unsafe memcmp(own, from, other.count) == 0
            }
        }
    }

    /// Calls `body` with pieces of at most 1 GiB, as C libraries count in 32 bits.
    func forEachPiece(
        _ body: (UnsafeMutablePointer<UInt8>, UInt32) throws(BackupError) -> Void
    ) throws(BackupError) {
        try unsafe withUnsafeBufferPointer { bytes throws(BackupError) in
            guard let start = unsafe UnsafeMutablePointer(mutating: bytes.baseAddress) else { return }
            var offset = 0
            while offset < bytes.count {
                let length = Swift.min(bytes.count - offset, 1 << 30)
                try unsafe body(start + offset, UInt32(length))
                offset += length
            }
        }
    }
}
