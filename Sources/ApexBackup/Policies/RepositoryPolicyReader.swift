import BackupModel

/// Reads `repository` of a backup policy: an address, or a mapping that says more of an object store.
enum RepositoryPolicyReader {
    /// The address, and what is said of the store.
    static func read(_ value: YAMLValue) throws(BackupError) -> (address: String, store: S3StoreSettings) {
        guard value.isList else { return try one(value) }
        let values = try value.list()
        guard !values.isEmpty else { throw value.error("'\(value.path)' is an empty list") }
        guard values.count == 1 else {
            throw values[1].unsupported(
                "a second repository",
                remedy: "Name one; 'apex-backup copy' of a later version keeps a second one up to date.")
        }
        return try one(values[0])
    }

    private static func one(_ value: YAMLValue) throws(BackupError) -> (address: String, store: S3StoreSettings) {
        guard value.isMapping else { return (try address(value), S3StoreSettings()) }
        let mapping = try value.mapping(
            YAMLKeys([
                "url", "endpoint", "region", "path_style", "ca_file", "allow_plain_http", "storage_class",
                "server_side_encryption", "capacity",
            ]))
        let address = try address(mapping.required("url"))
        if !address.hasPrefix("s3://"), let (key, other) = mapping.entries.first(where: { $0.key != "url" }) {
            throw other.error(
                "'\(other.path)' is of an object store, and '\(address)' is none", remedy: "Leave out '\(key)'.")
        }
        return (address, try store(mapping))
    }

    private static func address(_ value: YAMLValue) throws(BackupError) -> String {
        let text = try value.string()
        guard !text.hasPrefix("s3://") || S3Location(parsing: text) != nil else {
            // It is not repeated: somebody may have written keys into it.
            throw value.error(
                "'\(value.path)' names no bucket and prefix", remedy: "Write for example s3://backups/apex.")
        }
        guard text.hasPrefix("/") || text.hasPrefix("file:///") || text.hasPrefix("s3://") else {
            throw value.error(
                "'\(value.path)' must be a file:/// URL, an absolute path or s3://bucket/prefix"
                    + (text.contains("@") ? "" : ", not '\(text)'"),
                remedy: "Write for example file:///var/lib/apex-backup or s3://backups/apex.")
        }
        return text
    }

    private static func store(_ mapping: YAMLMapping) throws(BackupError) -> S3StoreSettings {
        var store = S3StoreSettings()
        store.endpoint = try mapping["endpoint"]?.string()
        store.region = try mapping["region"].map(plain)
        store.pathStyle = try mapping["path_style"]?.boolean()
        if let file = mapping["ca_file"] {
            let path = try file.string()
            guard path.hasPrefix("/") else {
                throw file.error("'\(file.path)' must be an absolute path, not '\(path)'")
            }
            store.caFile = path
        }
        store.allowsPlainHTTP = try mapping["allow_plain_http"]?.boolean() ?? false
        store.storageClass = try mapping["storage_class"].map(plain)
        if let encryption = mapping["server_side_encryption"] {
            let text = try encryption.string()
            guard text == "AES256" || text == "aws:kms" || text.hasPrefix("aws:kms:"), !text.contains(" ") else {
                throw encryption.error(
                    "'\(encryption.path)' can not be '\(text)'", remedy: "Write AES256, aws:kms, or aws:kms:KEY.")
            }
            store.serverSideEncryption = text
        }
        store.capacity = try mapping["capacity"]?.byteCount(atLeast: 1 << 20)
        if let endpoint = mapping["endpoint"] {
            do { _ = try S3Endpoint(bucket: "bucket", settings: store) } catch {
                throw endpoint.error(
                    "'\(endpoint.path)': \(error.message)" + (error.reason.map { " (\($0))" } ?? ""),
                    remedy: error.remedy)
            }
        }
        return store
    }

    private static func plain(_ value: YAMLValue) throws(BackupError) -> String {
        let text = try value.string()
        guard text.isPlain else { throw value.error("'\(value.path)' can not be '\(text)'") }
        return text
    }
}
