package import BackupModel
internal import NIOHTTP1

extension S3Storage {
    package func remove(_ keys: [ObjectKey]) throws(BackupError) {
        var rest = keys[...]
        while !rest.isEmpty {
            let batch = Array(rest.prefix(S3Deletion.most))
            rest = rest.dropFirst(batch.count)
            if batch.count == 1 { try remove(one: batch[0]) } else { try remove(batch: batch) }
        }
    }

    private func remove(one key: ObjectKey) throws(BackupError) {
        do throws(S3Failure) {
            // A store of files may take a folder for an object, and remove it or complain that it is not empty.
            if !abilities.orderedListing, try head(key) == nil { return }
            _ = try client.send(S3Request("DELETE", place.name(of: key)))
        } catch {
            guard error.kind != .absent else { return }
            throw error.error(failed(to: "removed", key))
        }
    }

    private func remove(batch: [ObjectKey]) throws(BackupError) {
        let text = Array(S3Deletion.request(batch.map { place.name(of: $0) }).utf8)
        var request = S3Request("POST", nil)
        request.query = [("delete", "")]
        request.body = S3Body(text)
        request.headers = [("content-type", "application/xml")] + checksum(of: request.body)
        // Stores want one or the other.
        guard let md5 = MD5.digest(of: text) else { return try removeOneByOne(batch) }
        request.headers.append(("content-md5", Base64.encode(md5)))
        let answer: S3Answer
        do {
            answer = try client.send(request)
        } catch {
            if error.kind == .unsupported { return try removeOneByOne(batch) }
            throw error.error(failed(to: "cleared of \(batch.count) objects", nil))
        }
        guard let failures = S3Deletion.failures(answer.body) else { throw notUnderstood("answer to a removal") }
        for failure in failures {
            let refusal = S3Refusal(status: 200, document: failure.error)
            let key = place.key(ofName: failure.name)
            switch refusal.kind {
            case .absent: continue
            // A batch that went well but for the store's bad moment.
            case .transient where key != nil:
                if let key { try remove(one: key) }
            default: throw refusal.error(failed(to: "removed", key))
            }
        }
    }

    private func removeOneByOne(_ keys: [ObjectKey]) throws(BackupError) {
        for key in keys { try remove(one: key) }
    }
}

extension S3Storage {
    /// A store answers for an object once it shows it.
    package func makeDurable(_ keys: [ObjectKey]) throws(BackupError) {}
}

extension S3Storage {
    package func temporaryFiles(under prefix: ObjectKey?) throws(BackupError) -> [ObjectKey] {
        try uploads(under: prefix).map(\.key).sorted()
    }

    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try unfinishedWrites(
            of: uploads(under: folder).filter { $0.key == folder.appending(String($0.key.lastComponent)) })
    }

    package func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try unfinishedWrites(of: uploads(under: prefix)).sorted { $0.key < $1.key }
    }

    /// Tells by the parts that have arrived when something came of an upload last; of who writes it nothing is known.
    private func unfinishedWrites(
        of uploads: [(key: ObjectKey, upload: S3UploadPage.Upload)]
    ) throws(BackupError) -> [UnfinishedWrite] {
        var found: [UnfinishedWrite] = []
        for (key, upload) in uploads {
            guard let parts = try arrived(of: upload) else { continue }
            let latest = [upload.begunAt, parts.latest].compactMap(\.self).max()
            found.append(
                UnfinishedWrite(key: key, size: parts.byteCount, changedAt: latest.map { client.hostTime(of: $0) }))
        }
        return found
    }

    /// What has arrived of an upload; `nil` if it has ended meanwhile.
    private func arrived(
        of upload: S3UploadPage.Upload
    ) throws(BackupError) -> (byteCount: Int64, latest: Timestamp?)? {
        var byteCount: Int64 = 0
        var latest: Timestamp?
        var marker: String?
        while true {
            var request = S3Request("GET", upload.name)
            request.query = [("uploadId", upload.id)]
            if let marker { request.query.append(("part-number-marker", marker)) }
            let answer: S3Answer
            do {
                answer = try client.send(request)
            } catch {
                switch error.kind {
                case .uploadGone, .absent: return nil
                case .unsupported: return (byteCount, latest)
                default: throw error.error(failed(to: "listed", nil))
                }
            }
            guard let page = S3PartPage(answer.body) else { throw notUnderstood("list of parts") }
            byteCount += page.byteCount
            latest = [latest, page.latest].compactMap(\.self).max()
            guard let next = page.next else { return (byteCount, latest) }
            guard next != marker else { throw notUnderstood("list of parts") }
            marker = next
        }
    }

    package func removeTemporaryFiles(_ files: [ObjectKey]) throws(BackupError) {
        var wanted: [ObjectKey?: Set<ObjectKey>] = [:]
        for file in files {
            wanted[ObjectKey(parsing: file.text.dropLast(file.lastComponent.count + 1)), default: []].insert(file)
        }
        for (folder, files) in wanted {
            for found in try uploads(under: folder) where files.contains(found.key) {
                do { try abort(found.upload) } catch { throw error.error(failed(to: "removed", found.key)) }
            }
        }
    }

    /// Unfinished uploads, each with a name in its object's folder that no object has.
    private func uploads(
        under prefix: ObjectKey?
    ) throws(BackupError) -> [(key: ObjectKey, upload: S3UploadPage.Upload)] {
        var found: [(key: ObjectKey, upload: S3UploadPage.Upload)] = []
        var markers: S3UploadPage.Markers?
        while true {
            var request = S3Request("GET", nil)
            let path = prefix.map { "\(place.name(of: $0))/" } ?? place.folder
            request.query = [("uploads", ""), ("prefix", path)]
            if let markers {
                request.query.append(("key-marker", markers.name))
                if !markers.id.isEmpty { request.query.append(("upload-id-marker", markers.id)) }
            }
            let answer: S3Answer
            do {
                answer = try client.send(request)
            } catch {
                switch error.kind {
                // rclone says so of a bucket that has none.
                case .uploadGone: return found
                // A store that cannot tell them has a rule of its own to end them.
                case .unsupported: return []
                default: throw error.error(failed(to: "listed", nil))
                }
            }
            guard let page = S3UploadPage(answer.body) else { throw notUnderstood("list of unfinished uploads") }
            // A store may not know the prefix: what is elsewhere is nobody's to remove.
            for upload in page.uploads where upload.name.hasPrefix(path) {
                guard let key = place.key(ofName: upload.name) else { continue }
                found.append((key.sibling(Self.temporaryName(of: upload)), upload))
            }
            guard let next = page.next else { return found }
            guard next != markers else { throw notUnderstood("list of unfinished uploads") }
            markers = next
        }
    }

    private static func temporaryName(of upload: S3UploadPage.Upload) -> String {
        let id = Array(upload.id.utf8)
        return ".tmp-\(SHA256.digest(of: id.span).description.prefix(16))"
    }

    /// Ends an upload, of which nothing stays.
    func abort(_ upload: S3UploadPage.Upload, within budget: Duration? = nil) throws(S3Failure) {
        var request = S3Request("DELETE", upload.name)
        request.query = [("uploadId", upload.id)]
        do throws(S3Failure) { _ = try client.send(request, within: budget) } catch {
            guard error.kind == .uploadGone || error.kind == .absent else { throw error }
        }
    }
}
