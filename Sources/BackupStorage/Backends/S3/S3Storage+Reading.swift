package import BackupModel
internal import NIOCore
internal import NIOHTTP1

extension S3Storage {
    package func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        var download = S3Download(place.name(of: key), from: 0, count: nil)
        do {
            try download.run(client, into: sink)
        } catch {
            guard error.kind != .absent else { throw missing(key) }
            throw error.error(failed(to: "read", key))
        }
    }

    package func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        guard count > 0 else {
            guard try info(key) != nil else { throw missing(key) }
            return []
        }
        let sink = CollectingSink(limit: count)
        var download = S3Download(place.name(of: key), from: offset, count: Int64(count))
        do {
            try download.run(client, into: sink)
        } catch {
            switch error.kind {
            case .absent: throw missing(key)
            case .rangeNotSatisfiable: throw ended(key, at: offset)
            default: throw error.error(failed(to: "read", key))
            }
        }
        guard sink.bytes.count == count else { throw ended(key, at: offset + Int64(sink.bytes.count)) }
        return sink.bytes
    }

    package func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        let sink = CollectingSink(limit: limit)
        var download = S3Download(place.name(of: key), from: 0, count: nil)
        do {
            try download.run(client, into: sink)
            return sink.bytes
        } catch {
            if error.kind == .absent { return nil }
            guard sink.isExceeded else { throw error.error(failed(to: "read", key)) }
            throw BackupError(
                .objectDamaged, "'\(key)' is damaged.", reason: "it is larger than the \(limit) bytes it may have",
                remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists what is damaged.")
        }
    }

    private func missing(_ key: ObjectKey) -> BackupError {
        BackupError(
            .objectMissing, "'\(key)' is missing from the repository at '\(location)'.",
            remedy: "Put it back from a copy of the repository, or use another backup.")
    }

    private func ended(_ key: ObjectKey, at end: Int64) -> BackupError {
        BackupError(
            .objectDamaged, "'\(key)' is damaged.", reason: "it ends after \(end) bytes, and has more",
            remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists what is damaged.")
    }
}

/// Reads an object, or a part of it, and goes on where a connection ended.
struct S3Download {
    private let name: String
    private var position: Int64
    /// Where to stop; `nil` for the end of the object.
    private let end: Int64?
    /// The object as it was first seen: what follows must be of the same one.
    private var tag: String?
    private var total: Int64?

    init(_ name: String, from start: Int64, count: Int64?) {
        self.name = name
        position = start
        end = count.map { start + $0 }
    }

    /// Where what is wanted ends, as far as that is known.
    private var last: Int64? {
        guard let total else { return nil }
        return end.map { min($0, total) } ?? total
    }

    mutating func run(_ client: S3Client, into sink: any ByteSink) throws(S3Failure) {
        var attempts = S3Attempts(of: client)
        while true {
            do throws(S3Failure) {
                return try attempt(client, into: sink, noting: &attempts)
            } catch {
                // What was dropped behind the last byte lacks nothing.
                if case .connection = error, let last, position >= last { return }
                try attempts.waitAndGoOn(after: error)
            }
        }
    }

    private mutating func attempt(
        _ client: S3Client, into sink: any ByteSink, noting attempts: inout S3Attempts
    ) throws(S3Failure) {
        let request = request
        let exchange = try client.begin(request)
        let head = try client.head(of: exchange, to: request)
        let delivery = try delivery(of: head)
        var toSkip = delivery.toSkip
        while let part = try next(of: exchange) {
            var part = part
            let skipped = Int(min(toSkip, Int64(part.readableBytes)))
            part.moveReaderIndex(forwardBy: skipped)
            toSkip -= Int64(skipped)
            if let last,
                let cut = part.getSlice(
                    at: part.readerIndex, length: Int(max(0, min(Int64(part.readableBytes), last - position))))
            {
                part = cut
            }
            do { try sink.write(part.readableBytesUInt8Span) } catch { throw .other(error) }
            position += Int64(part.readableBytes)
            // What was only skipped was there before.
            if part.readableBytes > 0 { attempts.noteProgress() }
            if delivery.sendsMore, let last, position >= last { break }
        }
        if let last, position < last { throw .connection(.dropped("it ended after \(position) of \(last) bytes")) }
    }

    private func next(of exchange: HTTPExchange) throws(S3Failure) -> ByteBuffer? {
        do { return try exchange.next() } catch { throw .connection(error) }
    }

    private var request: S3Request {
        var request = S3Request("GET", name)
        if position > 0 || end != nil {
            request.headers = [("range", "bytes=\(position)-" + (end.map { "\($0 - 1)" } ?? ""))]
        }
        if let tag {
            request.headers.append(("if-match", tag))
            request.isOfKnownObject = true
        }
        return request
    }

    /// How many bytes of an answer come before those that are wanted, and whether some come behind: none, unless the
    /// store does not read parts.
    private mutating func delivery(
        of head: HTTPResponseHead
    ) throws(S3Failure) -> (toSkip: Int64, sendsMore: Bool) {
        let size: Int64?
        var isWhole = false
        if let range = ContentRange(head.headers.first(name: "content-range")) {
            guard range.start == position else {
                throw .connection(.dropped("the store sends other bytes than it was asked for"))
            }
            size = range.total
        } else {
            guard head.status != .partialContent else {
                throw .connection(.dropped("the store does not say which bytes it sends"))
            }
            size = head.headers.first(name: "content-length").flatMap { Int64($0) }
            isWhole = true
        }
        if let total, let size, size != total {
            throw changed("it had \(total) bytes, and has \(size)")
        }
        if total == nil { total = size }
        // Not every store looks at the condition.
        let current = head.headers.first(name: "etag")
        if let tag, let current, current != tag { throw changed("the store calls it \(current), and called it \(tag)") }
        if tag == nil { tag = current }
        return (isWhole ? position : 0, isWhole && end != nil)
    }

    private func changed(_ reason: String) -> S3Failure {
        .other(
            BackupError(
                .objectDamaged, "'\(name)' became another object while it was read.", reason: reason,
                remedy: "Find out what else writes there."))
    }
}
