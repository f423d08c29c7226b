internal import BackupModel
internal import NIOHTTP1

/// A multipart upload that was begun: nothing of it is visible before it is completed.
struct S3Upload {
    /// A part that arrived.
    struct Part {
        /// What the store calls it.
        let tag: String
        /// Its SHA-256, where the store compares that.
        let checksum: String?
    }

    private let storage: S3Storage
    private let upload: S3UploadPage.Upload

    /// How long it may take to end an upload that failed: what stays of it is found later.
    private static let abortBudget: Duration = .seconds(10)

    /// Begins to upload an object that will have `headers`.
    init(
        of key: ObjectKey, in storage: S3Storage, headers: [(name: String, value: String)]
    ) throws(S3Failure) {
        let name = storage.place.name(of: key)
        var request = S3Request("POST", name)
        request.query = [("uploads", "")]
        request.headers = headers
        if storage.abilities.checksums { request.headers.append(("x-amz-checksum-algorithm", "SHA256")) }
        let answer = try storage.client.send(request)
        guard let id = S3BegunUpload.id(answer.body) else {
            throw .other(storage.notUnderstood("answer to a new upload"))
        }
        self.storage = storage
        upload = S3UploadPage.Upload(name: name, id: id)
    }

    /// The request that sends a part, of which the first has the number 1.
    func request(_ number: Int, _ body: S3Body) -> S3Request {
        var request = S3Request("PUT", upload.name)
        request.query = [("partNumber", "\(number)"), ("uploadId", upload.id)]
        request.headers = storage.checksum(of: body)
        request.body = body
        return request
    }

    /// What the answer to such a request says.
    func part(_ answer: S3Answer, to request: S3Request) throws(S3Failure) -> Part {
        guard let tag = answer.headers.first(name: "etag") else {
            throw .other(storage.notUnderstood("answer to a part"))
        }
        return Part(tag: tag, checksum: storage.checksum(of: request.body).first?.value)
    }

    /// Makes the object of its parts, with attempts for `budget`, if that is less than is usual.
    func complete(
        _ parts: [Part], _ condition: [(name: String, value: String)], within budget: Duration? = nil
    ) throws(S3Failure) {
        var request = S3Request("POST", upload.name)
        request.query = [("uploadId", upload.id)]
        request.headers = [("content-type", "application/xml")] + condition
        request.body = S3Body(Array(S3CompletedUpload.request(parts.map { ($0.tag, $0.checksum) }).utf8))
        _ = try storage.client.send(request, within: budget) { answer in
            switch S3CompletedUpload(answer.body) {
            case .done: nil
            case .failed(let document): S3Refusal(status: 200, document: document)
            case nil: S3Refusal(status: 200, document: S3ErrorDocument())
            }
        }
    }

    /// Ends the upload, of which nothing stays.
    func abort() { try? storage.abort(upload, within: Self.abortBudget) }
}
