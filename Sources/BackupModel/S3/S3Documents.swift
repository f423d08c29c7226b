/// One page of a listing, of `ListObjectsV2`.
package struct S3ListPage: Sendable, Hashable {
    /// An object of the bucket.
    package struct Object: Sendable, Hashable {
        /// Its name in the bucket.
        package let name: String
        /// Its size in bytes.
        package let size: Int64
    }

    /// The objects of this page.
    package let objects: [Object]
    /// The folders of this page, each with a slash at its end; none when the listing was asked for without a delimiter.
    package let folders: [String]
    /// What the next page is asked for with, or `nil` if this is the last one.
    package let next: String?

    /// Returns `nil` unless `bytes` is such a document.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let root = XMLElement.parse(bytes), root.name == "ListBucketResult" else { return nil }
        var objects: [Object] = []
        for content in root.all("Contents") {
            guard let name = content["Key"], let size = content["Size"].flatMap({ Int64($0) }), size >= 0 else {
                return nil
            }
            objects.append(Object(name: name, size: size))
        }
        var folders: [String] = []
        for common in root.all("CommonPrefixes") {
            guard let name = common["Prefix"] else { return nil }
            folders.append(name)
        }
        self.objects = objects
        self.folders = folders
        guard root["IsTruncated"] == "true" else {
            next = nil
            return
        }
        // Without it what is missing would look absent.
        guard let token = root["NextContinuationToken"], !token.isEmpty else { return nil }
        next = token
    }
}

/// One page of unfinished uploads, of `ListMultipartUploads`.
package struct S3UploadPage: Sendable, Hashable {
    /// An upload that was begun and neither completed nor aborted.
    package struct Upload: Sendable, Hashable {
        /// The name in the bucket that its object would have.
        package let name: String
        /// The identifier that the store gave it.
        package let id: String
        /// When it was begun, by the store's clock.
        package let begunAt: Timestamp?

        package init(name: String, id: String, begunAt: Timestamp? = nil) {
            self.name = name
            self.id = id
            self.begunAt = begunAt
        }
    }

    /// Where the next page begins.
    package struct Markers: Sendable, Hashable {
        package let name: String
        package let id: String
    }

    package let uploads: [Upload]
    /// Where the next page begins, or `nil` if this is the last one.
    package let next: Markers?

    /// Returns `nil` unless `bytes` is such a document.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let root = XMLElement.parse(bytes), root.name == "ListMultipartUploadsResult" else { return nil }
        var uploads: [Upload] = []
        for upload in root.all("Upload") {
            guard let name = upload["Key"], let id = upload["UploadId"] else { return nil }
            let begunAt = upload["Initiated"].flatMap { Timestamp(codedText: $0) }
            uploads.append(Upload(name: name, id: id, begunAt: begunAt))
        }
        self.uploads = uploads
        guard root["IsTruncated"] == "true" else {
            next = nil
            return
        }
        guard let name = root["NextKeyMarker"], !name.isEmpty else { return nil }
        next = Markers(name: name, id: root["NextUploadIdMarker"] ?? "")
    }
}

/// One page of the parts of an upload that have arrived, of `ListParts`.
package struct S3PartPage: Sendable, Hashable {
    /// The bytes of the parts of this page.
    package let byteCount: Int64
    /// When the last of them arrived, by the store's clock.
    package let latest: Timestamp?
    /// What the next page is asked for with, or `nil` if this is the last one.
    package let next: String?

    /// Returns `nil` unless `bytes` is such a document.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let root = XMLElement.parse(bytes), root.name == "ListPartsResult" else { return nil }
        var byteCount: Int64 = 0
        var latest: Timestamp?
        for part in root.all("Part") {
            guard let size = part["Size"].flatMap({ Int64($0) }), (0...(1 << 40)).contains(size) else { return nil }
            byteCount += size
            latest = [latest, part["LastModified"].flatMap { Timestamp(codedText: $0) }].compactMap(\.self).max()
        }
        self.byteCount = byteCount
        self.latest = latest
        guard root["IsTruncated"] == "true" else {
            next = nil
            return
        }
        guard let marker = root["NextPartNumberMarker"], !marker.isEmpty else { return nil }
        next = marker
    }
}

/// What `CreateMultipartUpload` answers with.
package enum S3BegunUpload {
    /// The identifier of the upload, or `nil` if `bytes` is no such answer.
    package static func id(_ bytes: some Collection<UInt8>) -> String? {
        // rclone leaves the end of the name out.
        guard let root = XMLElement.parse(bytes),
            ["InitiateMultipartUploadResult", "InitiateMultipartUpload"].contains(root.name),
            let id = root["UploadId"], !id.isEmpty
        else { return nil }
        return id
    }
}

/// What `CompleteMultipartUpload` answers with: its status is sent before the store knows how it ends.
package enum S3CompletedUpload: Sendable, Hashable {
    case done
    case failed(S3ErrorDocument)

    /// Returns `nil` unless `bytes` is such an answer.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let root = XMLElement.parse(bytes) else { return nil }
        switch root.name {
        case "CompleteMultipartUploadResult": self = .done
        case "Error": self = .failed(S3ErrorDocument(root))
        default: return nil
        }
    }

    /// The body of the request: the parts in order, each with the tag that the store gave it and, where the store
    /// checks digests, the digest in Base64.
    package static func request(_ parts: [(tag: String, checksum: String?)]) -> String {
        let replacements: [Unicode.Scalar: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;"]
        let items = parts.enumerated().map { index, part in
            let checksum = part.checksum.map { "<ChecksumSHA256>\($0)</ChecksumSHA256>" } ?? ""
            return "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(part.tag.escaping(replacements))</ETag>"
                + "\(checksum)</Part>"
        }
        return "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(items.joined())"
            + "</CompleteMultipartUpload>"
    }
}

/// `DeleteObjects`: many names in one request.
package enum S3Deletion {
    /// The most names that one request may have.
    package static let most = 1000

    /// The body of the request that removes `names`.
    package static func request(_ names: some Sequence<String>) -> String {
        let replacements: [Unicode.Scalar: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;"]
        let objects = names.map { "<Object><Key>\($0.escaping(replacements))</Key></Object>" }
        return "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>\(objects.joined())"
            + "</Delete>"
    }

    /// The names that could not be removed and why, or `nil` if `bytes` is no answer to such a request.
    package static func failures(_ bytes: some Collection<UInt8>) -> [(name: String, error: S3ErrorDocument)]? {
        guard let root = XMLElement.parse(bytes), root.name == "DeleteResult" else { return nil }
        return root.all("Error").map { ($0["Key"] ?? "", S3ErrorDocument($0)) }
    }
}
