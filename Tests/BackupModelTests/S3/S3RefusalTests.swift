import Testing

@testable import BackupModel

@Suite struct `Understanding what an object store refuses` {
    private func refusal(_ status: Int, _ code: String, ofKnownObject: Bool = false) -> S3Refusal {
        var document = S3ErrorDocument()
        document.code = code
        document.message = "words of the store"
        document.requestID = "4442587F"
        return S3Refusal(status: status, document: document, wasOfKnownObject: ofKnownObject)
    }

    @Test(arguments: [
        (404, "NoSuchKey", S3Refusal.Kind.absent), (404, "NoSuchBucket", .bucketMissing), (404, "", .other),
        (404, "NoSuchUpload", .uploadGone), (403, "AccessDenied", .denied), (403, "", .denied),
        (403, "SignatureDoesNotMatch", .unauthenticated), (403, "InvalidAccessKeyId", .unauthenticated),
        (403, "RequestTimeTooSkewed", .clockSkewed), (400, "ExpiredToken", .credentialsExpired),
        (412, "PreconditionFailed", .taken), (412, "", .taken), (409, "ConditionalRequestConflict", .transient),
        (416, "InvalidRange", .rangeNotSatisfiable), (503, "SlowDown", .transient), (429, "", .transient),
        (500, "InternalError", .transient), (502, "", .transient), (520, "", .transient),
        (400, "RequestTimeout", .transient), (400, "BadDigest", .transient), (301, "PermanentRedirect", .elsewhere),
        (507, "", .full), (501, "NotImplemented", .unsupported), (400, "InvalidPart", .other),
    ])
    func `knows what each answer means`(status: Int, code: String, kind: S3Refusal.Kind) {
        #expect(refusal(status, code).kind == kind)
    }

    @Test func `takes only "no such key" for an absent object`() {
        let absent = [(404, ""), (404, "NoSuchBucket"), (403, "AccessDenied"), (404, "NoSuchUpload"), (410, "Gone")]
            .filter { refusal($0.0, $0.1).kind == .absent }
        #expect(absent.isEmpty)
        #expect(refusal(404, "NoSuchBucket").error("What.").code == .repositoryMissing)
        #expect(refusal(403, "AccessDenied").error("What.").code == .permissionDenied)
    }

    @Test func `tells the store's word, the request and what to do`() {
        let error = refusal(403, "AccessDenied").error("'a' cannot be read in the bucket 'b'.")
        #expect(error.message == "'a' cannot be read in the bucket 'b'.")
        #expect(error.reason == "the store answered 403 AccessDenied: words of the store (request 4442587F)")
        #expect(error.remedy.contains("s3:GetObject"))
        var document = S3ErrorDocument()
        document.code = "AuthorizationHeaderMalformed"
        document.region = "eu-west-1"
        #expect(S3Refusal(status: 400, document: document).error("What.").remedy.contains("region: eu-west-1"))
    }

    @Test(arguments: [
        (400, "BadDigest", true), (400, "XAmzContentChecksumMismatch", true), (400, "InvalidRequest", true),
        (501, "NotImplemented", true), (405, "MethodNotAllowed", true), (403, "AccessDenied", false),
        (429, "", false), (408, "", false), (503, "SlowDown", false), (404, "NoSuchBucket", false),
    ])
    func `knows what may be because of a digest`(status: Int, code: String, isOfDigest: Bool) {
        #expect(refusal(status, code).isOfDigest == isOfDigest)
    }

    @Test func `takes a condition on a known object for a change, not for a taken name`() {
        #expect(refusal(412, "PreconditionFailed", ofKnownObject: true).kind == .changed)
    }
}

@Suite struct `Trying again` {
    private let policy = RetryPolicy(budget: .seconds(60), firstWait: .milliseconds(200), longestWait: .seconds(20))

    @Test func `waits twice as long each time, up to a limit`() {
        let waits = (1...9).map { policy.wait(afterFailure: $0, elapsed: .zero, chance: 1) }
        let expected: [Duration] = [
            .milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600), .milliseconds(3200),
            .milliseconds(6400), .milliseconds(12_800), .seconds(20), .seconds(20),
        ]
        #expect(waits == expected)
    }

    @Test func `waits any part of that, by chance`() {
        #expect(policy.wait(afterFailure: 3, elapsed: .zero, chance: 0) == .zero)
        #expect(policy.wait(afterFailure: 3, elapsed: .zero, chance: 0.5) == .milliseconds(400))
    }

    @Test func `gives up when the time for all attempts would be over`() {
        #expect(policy.wait(afterFailure: 8, elapsed: .seconds(39), chance: 1) == .seconds(20))
        #expect(policy.wait(afterFailure: 8, elapsed: .seconds(40), chance: 1) == nil)
        #expect(policy.wait(afterFailure: 1, elapsed: .seconds(61), chance: 0) == nil)
    }

    @Test func `comes again no sooner than the store says`() {
        #expect(policy.wait(afterFailure: 1, elapsed: .zero, chance: 0, retryAfter: .seconds(5)) == .seconds(5))
        #expect(policy.wait(afterFailure: 1, elapsed: .zero, chance: 0, retryAfter: .seconds(600)) == nil)
    }

    @Test func `tries again after what passes, and after nothing else`() {
        let passing: [ConnectionFailure] = [.unreachable("-"), .timedOut, .dropped("-")]
        let staying: [ConnectionFailure] = [.notTrusted("-"), .cancelled, .invalid("-")]
        #expect(passing.filter(\.isTransient).count == 3)
        #expect(staying.filter(\.isTransient).isEmpty)
        #expect(ConnectionFailure.cancelled.error("What.").code == .interrupted)
        #expect(ConnectionFailure.timedOut.error("What.").code == .repositoryUnavailable)
    }
}
