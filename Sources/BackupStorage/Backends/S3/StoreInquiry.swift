package import BackupModel
internal import NIOHTTP1

extension S3Storage {
    package func findAbilities() throws(BackupError) -> StoreAbilities? {
        let folder = ObjectKey(".probe-\(String(UInt64.random(in: .min ... .max), radix: 16))")
        do throws(S3Failure) {
            let checksums = try comparesChecksums(in: folder)
            func having(conditionalWrites: Bool) -> S3Storage {
                with(
                    StoreAbilities(
                        conditionalWrites: conditionalWrites, checksums: checksums, orderedListing: false))
            }
            let found = StoreAbilities(
                conditionalWrites: try having(conditionalWrites: true).writesConditionally(in: folder),
                checksums: checksums, orderedListing: try having(conditionalWrites: false).listsNames(in: folder))
            try? with(.least).removeAll(in: folder)
            return found
        } catch {
            try? with(.least).removeAll(in: folder)
            throw error.error(failed(to: "tried out", nil))
        }
    }

    private func removeAll(in folder: ObjectKey) throws(BackupError) {
        var keys: [ObjectKey] = []
        try list(under: folder) { keys.append($0.key) }
        try remove(keys)
    }

    /// Whether an object is refused whose SHA-256 is another one than was announced, and taken with the right one.
    private func comparesChecksums(in folder: ObjectKey) throws(S3Failure) -> Bool {
        func isTaken(_ announced: S3Body) throws(S3Failure) -> Bool {
            var request = S3Request("PUT", place.name(of: folder.appending("checksum")))
            request.body = S3Body(Array("probe".utf8))
            request.headers = [("x-amz-checksum-sha256", Base64.encode(announced.digest.bytes))]
            var attempts = S3Attempts(of: client)
            while true {
                do throws(S3Failure) {
                    _ = try client.answer(of: client.begin(request), to: request)
                    return true
                } catch {
                    if case .refused(let refusal) = error, refusal.isOfDigest { return false }
                    try attempts.waitAndGoOn(after: error)
                }
            }
        }
        // The right one first: it also finds out whether anything can be written there, and tries again if need be.
        // Where objects are locked none is taken without a digest, and this one every store takes.
        let digest = MD5.digest(of: Array("probe".utf8)).map { [(name: "content-md5", value: Base64.encode($0))] }
        try put(folder.appending("plain"), S3Body(Array("probe".utf8)), digest ?? [])
        guard try isTaken(S3Body(Array("probe".utf8))), try !isTaken(S3Body(Array("other".utf8))) else { return false }
        return try uploads(to: folder.appending("checksum-parts"), with: []) == .stored
    }

    /// Whether a taken name is refused to an object, and to a multipart upload that is completed.
    private func writesConditionally(in folder: ObjectKey) throws(S3Failure) -> Bool {
        let key = folder.appending("taken")
        let condition = [(name: "if-none-match", value: "*")]
        try put(key, S3Body(Array("first".utf8)), [])
        do throws(S3Failure) {
            try put(key, S3Body(Array("second".utf8)), condition)
            return false
        } catch {
            guard error.kind == .taken else {
                if error.kind == .unsupported || error.kind == .other { return false }
                throw error
            }
        }
        return try uploads(to: key, with: condition) == .present
    }

    /// What becomes of a multipart upload of one small part; `nil` if it cannot be made at all.
    private func uploads(
        to key: ObjectKey, with condition: [(name: String, value: String)]
    ) throws(S3Failure) -> PutOutcome? {
        let storage =
            condition.isEmpty
            ? with(StoreAbilities(conditionalWrites: false, checksums: true, orderedListing: false)) : self
        var begun: S3Upload?
        do throws(S3Failure) {
            let upload = try S3Upload(of: key, in: storage, headers: [])
            begun = upload
            let request = upload.request(1, S3Body(Array("part".utf8)))
            try upload.complete([upload.part(client.send(request), to: request)], condition)
            return .stored
        } catch {
            begun?.abort()
            switch error.kind {
            case .taken: return .present
            case .other, .unsupported, .rangeNotSatisfiable: return nil
            default: throw error
            }
        }
    }

    /// Whether a listing is one of names: in the order of their bytes, without folders that hold nothing yet or any more.
    private func listsNames(in folder: ObjectKey) throws(S3Failure) -> Bool {
        let names = ["order/a-b/x", "order/a.x", "order/a/x"].map { folder.appending($0) }
        for name in names { try put(name, .empty, []) }
        do throws(BackupError) {
            var found: [String] = []
            try forEachPage(under: "\(place.name(of: folder.appending("order")))/", delimited: false) { page in
                found += page.objects.map(\.name)
            }
            guard found == names.map({ place.name(of: $0) }) else { return false }
            try remove(names[2])
        } catch {
            throw .other(error)
        }
        let upload = try S3Upload(of: folder.appending("order/upload/x"), in: self, headers: [])
        let folders: [String]
        do throws(S3Failure) {
            folders = try self.folders(in: folder.appending("order"))
            // Of an upload that is aborted a store of files would keep the folder.
            let request = upload.request(1, S3Body(Array("part".utf8)))
            try upload.complete([upload.part(client.send(request), to: request)], [])
        } catch {
            upload.abort()
            throw error
        }
        return folders == ["\(place.name(of: folder.appending("order/a-b")))/"]
    }

    /// The folders that a listing shows in a folder.
    private func folders(in folder: ObjectKey) throws(S3Failure) -> [String] {
        do throws(BackupError) {
            var found: [String] = []
            try forEachPage(under: "\(place.name(of: folder))/", delimited: true) { page in found += page.folders }
            return found
        } catch {
            throw .other(error)
        }
    }
}
