package import BackupModel

/// Finds out which kind of backup tables come from when a server is to take them.
package struct TableSourceChoice: Sendable {
    /// What was found.
    package enum Found: Sendable, Hashable {
        /// Dumps; with what is to be said of it, if a physical backup might have been expected.
        case dumps(remark: String?)
        /// A physical backup, and why.
        case cluster(reason: String)
    }

    let repository: Repository
    let request: PhysicalRestore.Request

    package init(repository: Repository, request: PhysicalRestore.Request) {
        self.repository = repository
        self.request = request
    }

    private static let ofMoment =
        "a moment was named, and physical backups lead to moments; without one the newest dump is taken"

    /// What is wrong with the request itself is left to the restore that follows, which has a record.
    package func find() throws(BackupError) -> Found {
        let isNamed = request.backup != "latest"
        guard isNamed || request.moment != nil else { return .dumps(remark: nil) }
        try repository.requireRegistration()
        let catalogue = Catalogue(repository)
        let named = isNamed ? (try? catalogue.backup(named: request.backup))?.manifest?.kind : nil
        guard !isNamed || named != nil else { return .dumps(remark: nil) }
        let manifests = try catalogue.backups().compactMap(\.manifest)
        let source = TableSource(
            named: named, moment: request.moment, acceptsNearest: request.acceptsNearest,
            dumps: manifests.filter { $0.kind == .logical }.map(\.recoveryPoint),
            hasPhysical: manifests.contains { $0.kind == .physical })
        switch source {
        case .dump: return .dumps(remark: nil)
        case .cluster:
            return .cluster(reason: isNamed ? "backup \(request.backup) is a physical one" : Self.ofMoment)
        case .clusterIfReached: return try reached()
        }
    }

    private func reached() throws(BackupError) -> Found {
        var exact = request.moved(into: "\(DrillLeftovers.usualParent(repository.environment))/apex-backup")
        exact.acceptsNearest = false
        do {
            _ = try PhysicalRestorePlanning(repository: repository, request: exact).prepare()
            return .cluster(reason: Self.ofMoment)
        } catch  where error.code == .momentUnreachable || error.code == .walMissing {
            return .dumps(
                remark: "a dump is taken, as no physical backup leads to the moment: \(error.message) "
                    + (error.reason ?? ""))
        }
    }
}
