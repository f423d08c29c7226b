import Testing

@testable import BackupModel

@Suite struct `Findings about the storage` {
    private let able = StoreAbilities(conditionalWrites: true, checksums: true, orderedListing: true)

    @Test func `of a store that can do everything, and of one that lacks what has another way, are well`() {
        #expect(DoctorFinding.objectStore(able, access: nil, unfinishedUploads: 0).level == .ok)
        #expect(DoctorFinding.objectStore(able, access: nil, unfinishedUploads: 0).why == nil)
        let least = DoctorFinding.objectStore(.least, access: nil, unfinishedUploads: 0)
        #expect(least.level == .ok)
        for word in ["'.claims'", "SHA-256", "one by one"] { #expect(least.why?.contains(word) == true, "\(word)") }
    }

    @Test func `count unfinished uploads, and say what removes them`() {
        let one = DoctorFinding.objectStore(able, access: nil, unfinishedUploads: 1)
        #expect(one.level == .note)
        #expect(one.found == "There is 1 unfinished upload in the object store.")
        #expect(one.mend?.action?.contains("prune --apply") == true)
        let two = DoctorFinding.objectStore(able, access: nil, unfinishedUploads: 2)
        #expect(two.found == "There are 2 unfinished uploads in the object store.")
    }

    @Test func `say where credentials come from, and what a server that archives lacks of them`() throws {
        let access = try StoreAccess(
            to: "bucket", settings: .init(),
            variables: ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2"], files: SharedAWSFiles())
        let finding = DoctorFinding.objectStore(able, access: access, unfinishedUploads: 0)
        #expect(finding.found == "The object store can do all that is asked of it.")
        #expect(
            finding.why == "credentials come from the environment, so that a server which archives must have "
                + "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY in its environment")
    }

    @Test func `name every broken promise`() {
        #expect(DoctorFinding.storageContract([]).level == .ok)
        let broken = DoctorFinding.storageContract(["writers: a", "listing: b"])
        #expect(broken.level == .error)
        #expect(broken.why == "writers: a; listing: b")
    }

    @Test func `tell a role that may not write from a storage that takes nothing`() {
        let denied = BackupError(.permissionDenied, "It may not.", reason: "403", remedy: "Let it.")
        let finding = DoctorFinding.storageNotTried(denied)
        #expect(finding.level == .note && finding.why == "It may not. 403" && finding.mend?.action == "Let it.")
        let full = BackupError(.repositoryFull, "It is full.", remedy: "Make room.")
        #expect(DoctorFinding.storageNotTried(full).level == .error)
    }
}
