/// Where a repository lies in an object store: a bucket, and a folder in it.
package struct S3Location: Sendable, Hashable, CustomStringConvertible {
    /// The bucket.
    package let bucket: String
    /// The folder in it, or `nil` for all of it.
    package let prefix: ObjectKey?

    /// Returns `nil` unless `address` is `s3://bucket` or `s3://bucket/prefix`.
    ///
    /// The prefix is taken as it stands: nothing in it is decoded, and a slash at its end means nothing.
    package init?(parsing address: some StringProtocol) {
        guard address.hasPrefix("s3://") else { return nil }
        let rest = address.dropFirst(5)
        let bucket = rest.prefix { $0 != "/" }
        guard (3...255).contains(bucket.utf8.count), String(bucket).isPlain, !bucket.hasPrefix("."),
            !bucket.contains("..")
        else { return nil }
        var prefix = rest.dropFirst(bucket.count + 1)
        if prefix.hasSuffix("/") { prefix = prefix.dropLast() }
        self.bucket = String(bucket)
        if prefix.isEmpty {
            self.prefix = nil
        } else {
            // With room for the keys of a repository, which a store ends at 1,024 bytes.
            guard !prefix.contains(where: { "?#%".contains($0) }), prefix.utf8.count <= 512,
                let key = ObjectKey(parsing: prefix),
                !key.text.split(separator: "/").contains(where: { $0.first == "." })
            else { return nil }
            self.prefix = key
        }
    }

    /// The address.
    package var description: String { "s3://\(bucket)" + (prefix.map { "/\($0)" } ?? "") }

    /// The name in the bucket of an object of the repository.
    package func name(of key: ObjectKey) -> String { folder + key.text }

    /// What the names of the repository's objects in the bucket begin with.
    package var folder: String { prefix.map { "\($0)/" } ?? "" }

    /// The key of the object that has `name` in the bucket, or `nil` if it is none of the repository's.
    package func key(ofName name: some StringProtocol) -> ObjectKey? {
        name.hasPrefix(folder) ? ObjectKey(parsing: name.dropFirst(folder.count)) : nil
    }
}

/// What a policy says of an object store besides its address.
package struct S3StoreSettings: Sendable, Hashable {
    /// The URL of the store, or `nil` for that of AWS.
    package var endpoint: String?
    /// The region, or `nil` for that of the environment.
    package var region: String?
    /// Whether the bucket stands in the path of URLs and not in their host; `nil` decides by the endpoint.
    package var pathStyle: Bool?
    /// A file of the certificates that are trusted, instead of the system's.
    package var caFile: String?
    /// Whether the store may be talked to without TLS.
    package var allowsPlainHTTP = false
    /// The storage class of what is written.
    package var storageClass: String?
    /// How the store encrypts what is written: `AES256`, `aws:kms`, or `aws:kms:` and the key's name.
    package var serverSideEncryption: String?
    /// How many bytes may be stored in all.
    package var capacity: Int64?

    /// The settings of a store of which nothing is said.
    package init() {}
}
