extension DoctorFinding {
    /// What the object store of a repository can do, how a server that archives into it gets there, and what uploads
    /// were left in it.
    package static func objectStore(
        _ abilities: StoreAbilities, access: StoreAccess?, unfinishedUploads: Int
    ) -> DoctorFinding {
        var lacks: [String] = []
        if let access {
            let needed = access.needed.joined(separator: ", ")
            lacks.append(
                "credentials come from \(access.credentials)"
                    + (needed.isEmpty
                        ? "" : ", so that a server which archives must have \(needed) in its environment"))
        }
        if !abilities.conditionalWrites {
            lacks.append("it does not refuse a name that is taken, so that writers claim names in '.claims' first")
        }
        if !abilities.checksums { lacks.append("it compares nothing that is sent with a SHA-256 of it") }
        if !abilities.orderedListing {
            lacks.append("its folders are listed one by one, as it orders names its own way")
        }
        let lack = lacks.isEmpty ? nil : lacks.joined(separator: "; ")
        let are = unfinishedUploads == 1 ? "is 1 unfinished upload" : "are \(unfinishedUploads) unfinished uploads"
        guard unfinishedUploads > 0 else {
            return DoctorFinding(
                .objectStore, .ok,
                abilities.isComplete
                    ? "The object store can do all that is asked of it."
                    : "The object store lacks nothing that counts.",
                why: lack)
        }
        return DoctorFinding(
            .objectStore, .note,
            "There \(are) in the object store.",
            why: (["a run writes them now, or one died that did"] + lacks).joined(separator: "; "),
            mend: .init(
                action:
                    "'apex-backup prune --apply' removes those of dead backups, and of WAL those of which nothing came "
                    + "for a day. A lifecycle rule of the bucket that ends incomplete multipart uploads after a week "
                    + "removes any others."))
    }

    /// Why the promises of the storage are not known to be kept.
    package static func storageNotTried(_ error: BackupError) -> DoctorFinding {
        DoctorFinding(
            .storageContract, error.code == .permissionDenied ? .note : .error,
            "Whether the storage keeps its promises is not known: nothing can be written there.",
            why: [error.message, error.reason].compactMap(\.self).joined(separator: " "),
            mend: .init(action: error.remedy))
    }

    /// Whether the storage keeps what every storage promises.
    package static func storageContract(_ violations: [String]) -> DoctorFinding {
        guard !violations.isEmpty else {
            return DoctorFinding(.storageContract, .ok, "The storage keeps every promise that was tried.")
        }
        return DoctorFinding(
            .storageContract, .error, "The storage breaks promises on which backups rely.",
            why: violations.joined(separator: "; "),
            mend: .init(action: "Keep no backups there. Report this with the name and version of the storage."))
    }
}
