internal import BackupModel
internal import NIOCore
internal import NIOHTTP1

/// Writes one object: a small one in one request, a larger one in parts of which two are on their way at once.
///
/// Parts are sent again from memory, so that a stream of any length takes the same, however often a connection ends.
/// What comes from a source that is still writing it is sent in larger parts, one after the other, and takes no more.
final class S3ObjectWriter: ObjectWriter {
    static let partSize = 8 << 20
    static let partsInFlight = 2

    private enum State { case writing, published, discarded }

    /// A part that was sent and not yet acknowledged.
    private struct Part {
        let request: S3Request
        let exchange: Result<HTTPExchange, S3Failure>

        /// Waits for the acknowledgement; sends the part again with `begin` if it did not arrive.
        func arrived(
            over client: S3Client, of upload: S3Upload, _ begin: (S3Request) -> Result<HTTPExchange, S3Failure>
        ) throws(S3Failure) -> S3Upload.Part {
            var exchange = exchange
            var attempts = S3Attempts(of: client)
            while true {
                do throws(S3Failure) {
                    return try upload.part(client.answer(of: exchange.get(), to: request), to: request)
                } catch {
                    try attempts.waitAndGoOn(after: error)
                }
                exchange = begin(request)
            }
        }
    }

    private let key: ObjectKey
    private let isStreamed: Bool
    private let storage: S3Storage
    private let publication: S3Publication
    private var state = State.writing
    private var buffer = ByteBuffer()
    private var hash = SHA256()
    private var upload: S3Upload?
    private var inFlight: [Part] = []
    private var sent: [S3Upload.Part] = []

    init(_ key: ObjectKey, in storage: S3Storage, isStreamed: Bool = false) {
        self.key = key
        self.isStreamed = isStreamed
        self.storage = storage
        publication = S3Publication(of: key, in: storage)
    }

    deinit { discard() }

    private var partSize: Int { isStreamed ? Self.partSize * (Self.partsInFlight + 1) : Self.partSize }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        precondition(state == .writing, "an object is written to after its end")
        var taken = 0
        while taken < bytes.count {
            let length = min(partSize - buffer.readableBytes, bytes.count - taken)
            let piece = bytes.extracting(taken..<taken + length)
            hash.update(piece)
            buffer.append(copying: piece)
            taken += length
            if buffer.readableBytes == partSize { try sendPart() }
        }
    }

    func finish() throws(BackupError) {
        precondition(state == .writing, "an object is finished twice")
        let outcome: PutOutcome
        if let upload {
            if buffer.readableBytes > 0 { try sendPart() }
            while !inFlight.isEmpty { try awaitPart(of: upload) }
            outcome = try publication.publish { publication, condition throws(S3Failure) in
                try upload.complete(sent, condition, within: publication.budget)
            }
        } else {
            let body = takeBody()
            outcome = try publication.publish { publication, condition throws(S3Failure) in
                try storage.put(key, body, publication.headers + condition, within: publication.budget)
            }
        }
        guard outcome == .stored else {
            throw BackupError(
                .objectExists, "'\(key)' exists already in the repository '\(storage.location)'.",
                remedy: "Nothing needs to be done unless two runs were to write the same object.",
                unchanged: "The object that was there was not touched.")
        }
        state = .published
    }

    func discard() {
        guard state == .writing else { return }
        state = .discarded
        for part in inFlight {
            if case .success(let exchange) = part.exchange { exchange.cancel() }
        }
        inFlight = []
        buffer = ByteBuffer()
        upload?.abort()
    }

    /// What was written since the last part.
    private func takeBody() -> S3Body {
        defer { buffer = ByteBuffer() }
        return S3Body(buffer.readableBytes > 0 ? buffer : nil, digest: hash.finish())
    }

    private func sendPart() throws(BackupError) {
        let upload = try begunUpload()
        if inFlight.count == Self.partsInFlight { try awaitPart(of: upload) }
        let request = upload.request(sent.count + inFlight.count + 1, takeBody())
        inFlight.append(Part(request: request, exchange: begin(request)))
        if isStreamed { try awaitPart(of: upload) }
    }

    private func begunUpload() throws(BackupError) -> S3Upload {
        if let upload { return upload }
        do {
            let begun = try S3Upload(of: key, in: storage, headers: publication.headers)
            upload = begun
            return begun
        } catch {
            throw error.error(storage.failed(to: "written", key))
        }
    }

    private func begin(_ request: S3Request) -> Result<HTTPExchange, S3Failure> {
        do { return .success(try storage.client.begin(request)) } catch { return .failure(error) }
    }

    /// Waits until the oldest part on its way has arrived, and sends it again if it has not.
    private func awaitPart(of upload: S3Upload) throws(BackupError) {
        let part = inFlight.removeFirst()
        do {
            sent.append(try part.arrived(over: storage.client, of: upload) { begin($0) })
        } catch {
            throw error.error(storage.failed(to: "written", key))
        }
    }
}
