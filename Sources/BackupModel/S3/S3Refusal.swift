/// What an object store says of an error, in the body of its answer.
package struct S3ErrorDocument: Sendable, Hashable {
    /// The store's word for it, for example `NoSuchKey`; empty if it said none.
    package var code = ""
    package var message = ""
    package var requestID = ""
    /// The region that the bucket is in, if another one was asked.
    package var region: String?

    package init() {}

    init(_ element: XMLElement) {
        code = element["Code"] ?? ""
        message = element["Message"] ?? ""
        requestID = element["RequestId"] ?? ""
        region = element["Region"]
    }

    /// Returns `nil` unless `bytes` is such a document.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let root = XMLElement.parse(bytes), root.name == "Error" else { return nil }
        self.init(root)
    }
}

/// An answer of an object store that is no success.
package struct S3Refusal: Error, Sendable, Hashable {
    /// What an answer means.
    package enum Kind: Sendable, Hashable {
        /// There is certainly no such object.
        case absent
        /// There is no such upload: it was completed, or aborted.
        case uploadGone
        case bucketMissing
        /// The name is taken.
        case taken
        /// The object has not the range that was asked for.
        case rangeNotSatisfiable
        /// The object is another one than before.
        case changed
        /// It may go well at another time.
        case transient
        /// The clocks of this host and of the store differ too much.
        case clockSkewed
        /// The credentials have expired.
        case credentialsExpired
        /// The store does not know who asks, or what it was signed with.
        case unauthenticated
        case denied
        /// The bucket is somewhere else.
        case elsewhere
        /// Nothing more can be stored.
        case full
        /// The store cannot do that at all.
        case unsupported
        case other
    }

    /// The status of the answer.
    package let status: Int
    package var document: S3ErrorDocument
    /// Whether the request had a condition that the object be there and the same.
    package let wasOfKnownObject: Bool
    /// When the store wants to be asked again, if it says so.
    package let retryAfter: Duration?

    package init(
        status: Int, document: S3ErrorDocument, wasOfKnownObject: Bool = false, retryAfter: Duration? = nil
    ) {
        self.status = status
        self.document = document
        self.wasOfKnownObject = wasOfKnownObject
        self.retryAfter = retryAfter
    }

    /// What the answer means.
    package var kind: Kind {
        switch document.code {
        case "NoSuchKey": return .absent
        case "NoSuchUpload": return .uploadGone
        case "NoSuchBucket": return .bucketMissing
        case "PreconditionFailed": return wasOfKnownObject ? .changed : .taken
        case "InvalidRange": return .rangeNotSatisfiable
        case "RequestTimeTooSkewed", "RequestExpired": return .clockSkewed
        case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired": return .credentialsExpired
        case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "AuthFailure",
            "UnrecognizedClientException", "IncompleteSignature", "MissingSecurityHeader":
            return .unauthenticated
        case "AccessDenied", "AllAccessDisabled", "AccountProblem", "ObjectLocked": return .denied
        case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
            return .elsewhere
        case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "XMinioAdminBucketQuotaExceeded":
            return .full
        case "NotImplemented", "MethodNotAllowed": return .unsupported
        case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded",
            "TooManyRequests", "RequestTimeout", "InternalError", "OperationAborted", "ConditionalRequestConflict",
            "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody":
            return .transient
        default: return kindOfStatus
        }
    }

    /// Whether it may be because of a digest that came with the request: that it is wrong, or not known to the store.
    package var isOfDigest: Bool {
        switch document.code {
        case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch": true
        default: kind == .unsupported || kind == .other && (400..<500).contains(status)
        }
    }

    private var kindOfStatus: Kind {
        switch status {
        case 401: .unauthenticated
        case 403: .denied
        case 412: wasOfKnownObject ? .changed : .taken
        case 416: .rangeNotSatisfiable
        case 301, 307, 308: .elsewhere
        case 408, 425, 429: .transient
        case 507: .full
        case 405, 501: .unsupported
        // What stands before a store has numbers of its own, up to 530.
        case 500...599: .transient
        // A 404 without the word for it may be a wrong address as well.
        default: .other
        }
    }

    /// The store's words.
    package var reason: String {
        var words = "the store answered \(status)"
        if !document.code.isEmpty { words += " \(document.code)" }
        if !document.message.isEmpty { words += ": \(document.message)" }
        return document.requestID.isEmpty ? words : "\(words) (request \(document.requestID))"
    }
}

extension S3Refusal {
    /// The answer as the one error type; `what` says what could not be done, with bucket and key.
    package func error(_ what: String) -> BackupError {
        let (code, remedy): (ErrorCode, String) =
            switch kind {
            case .absent:
                (.objectMissing, "Put it back from a copy of the repository, or use another backup.")
            case .uploadGone:
                (
                    .storageFailed,
                    "Something aborted the upload, perhaps 'apex-backup prune' or a rule of the bucket "
                        + "that ends unfinished uploads: let it wait longer, and run again."
                )
            case .bucketMissing:
                (.repositoryMissing, "Make the bucket, or correct the address, the endpoint or the region.")
            case .taken:
                (.objectExists, "Nothing needs to be done unless two runs were to write the same object.")
            case .rangeNotSatisfiable, .changed:
                (
                    .objectDamaged,
                    "Put it back from a copy of the repository; 'apex-backup verify' lists what is damaged."
                )
            case .transient:
                (.repositoryUnavailable, "See whether the store is well, then run again.")
            case .clockSkewed:
                (.authenticationFailed, "Set this host's clock right.")
            case .credentialsExpired:
                (.authenticationFailed, "Get new credentials, for example by logging in again.")
            case .unauthenticated:
                (
                    .authenticationFailed,
                    "Check the access key, the secret key and the session token that are used, and the "
                        + "region."
                )
            case .denied:
                (
                    .permissionDenied,
                    "Let these credentials list the bucket, and read, write and delete below the "
                        + "repository's prefix (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, "
                        + "s3:AbortMultipartUpload, s3:ListMultipartUploadParts, "
                        + "s3:ListBucketMultipartUploads)."
                )
            case .elsewhere:
                (
                    .settings,
                    document.region.map { "Write 'region: \($0)' into 'repository' of the policy." }
                        ?? "Name the bucket's region and endpoint in 'repository' of the policy."
                )
            case .full:
                (.repositoryFull, "Make room there, for example with 'apex-backup prune'.")
            case .unsupported, .other:
                (.storageFailed, "Check the address of the repository, the endpoint and the store's own log.")
            }
        return BackupError(code, what, reason: reason, remedy: remedy)
    }
}
