package import BackupModel
internal import NIOHTTP1

extension S3Storage {
    package func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        guard abilities.orderedListing else { return try listFolder(prefix, body) }
        var previous: ObjectKey?
        try forEachPage(under: "\(place.name(of: prefix))/", delimited: false) { page throws(BackupError) in
            for object in page.objects {
                guard let key = place.key(ofName: object.name) else { continue }
                if let previous, key <= previous {
                    throw BackupError(
                        .storageFailed, failed(to: "listed", nil),
                        reason: "'\(key)' comes behind '\(previous)', which was not so when the repository was made",
                        remedy: "Report this with the name and version of the store.")
                }
                previous = key
                try body(ObjectInfo(key: key, size: object.size))
            }
        }
    }

    package func children(of prefix: ObjectKey?) throws(BackupError) -> [String] {
        var names: [String] = []
        for child in try folder(prefix) {
            if child.size == nil, !abilities.orderedListing, try !holdsObjects(child.key) { continue }
            let name = String(child.key.lastComponent)
            // An object and a folder may have one name.
            if names.last != name { names.append(name) }
        }
        return Set(names).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Lists folder by folder: for a store whose listing has an order of its own.
    private func listFolder(
        _ prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        for child in try folder(prefix) {
            if let size = child.size {
                try body(ObjectInfo(key: child.key, size: size))
            } else {
                try listFolder(child.key, body)
            }
        }
    }

    private struct Child {
        let key: ObjectKey
        /// `nil` for a folder.
        let size: Int64?

        /// `a-b` is before what is in `a`, as `/` follows `-`.
        var order: String { size == nil ? "\(key)/" : key.text }
    }

    /// What is directly in a folder, in the order of complete keys.
    private func folder(_ prefix: ObjectKey?) throws(BackupError) -> [Child] {
        var children: [Child] = []
        let path = prefix.map { "\(place.name(of: $0))/" } ?? place.folder
        try forEachPage(under: path, delimited: true) { page in
            for object in page.objects {
                guard let key = place.key(ofName: object.name) else { continue }
                children.append(Child(key: key, size: object.size))
            }
            for name in page.folders {
                guard let key = place.key(ofName: name.dropLast()) else { continue }
                children.append(Child(key: key, size: nil))
            }
        }
        // What begins with a dot at the top is no part of the repository: claims, and what is tried at the beginning.
        if prefix == nil { children.removeAll { $0.key.text.hasPrefix(".") } }
        return children.sorted { $0.order.utf8.lexicographicallyPrecedes($1.order.utf8) }
    }

    private func holdsObjects(_ folder: ObjectKey) throws(BackupError) -> Bool {
        var holds = false
        do {
            try forEachPage(under: "\(place.name(of: folder))/", delimited: false, pageSize: 1) {
                page throws(BackupError) in
                guard page.objects.isEmpty else {
                    holds = true
                    throw BackupError(.interrupted, "One object is enough.", remedy: "None.")
                }
            }
        } catch {
            guard holds else { throw error }
        }
        return holds
    }

    /// Calls `body` with every page of the names that begin with `path`.
    func forEachPage(
        under path: String, delimited: Bool, pageSize: Int? = nil,
        _ body: (S3ListPage) throws(BackupError) -> Void
    ) throws(BackupError) {
        var token: String?
        while true {
            var request = S3Request("GET", nil)
            request.query = [("list-type", "2"), ("prefix", path)]
            if delimited { request.query.append(("delimiter", "/")) }
            if let pageSize { request.query.append(("max-keys", "\(pageSize)")) }
            if let token { request.query.append(("continuation-token", token)) }
            let answer: S3Answer
            do {
                answer = try client.send(request)
            } catch {
                // Not so in AWS, which lists nothing. What ends in its middle is not known whole.
                if error.kind == .absent, token == nil { return }
                throw error.error(failed(to: "listed", nil))
            }
            guard let page = S3ListPage(answer.body) else { throw notUnderstood("listing") }
            try body(page)
            guard let next = page.next else { return }
            // A store that does not go on would be listed for ever.
            guard next != token else { throw notUnderstood("listing") }
            token = next
        }
    }

    func notUnderstood(_ what: String) -> BackupError {
        BackupError(
            .storageFailed, "The store's \(what) of '\(location)' cannot be understood.",
            remedy: "Check that the endpoint is that of an object store that speaks S3.")
    }
}
