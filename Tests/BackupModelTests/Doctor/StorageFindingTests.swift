import Testing

@testable import BackupModel

@Suite struct `Findings about the storage` {
    private let able = StoreAbilities(conditionalWrites: true, checksums: true, orderedListing: true)

    @Test func `of a store that can do everything, and of one that lacks what has another way, are well`() {
        #expect(DoctorFinding.objectStore(able, unfinishedUploads: 0).level == .ok)
        #expect(DoctorFinding.objectStore(able, unfinishedUploads: 0).why == nil)
        let least = DoctorFinding.objectStore(.least, unfinishedUploads: 0)
        #expect(least.level == .ok)
        for word in ["'.claims'", "SHA-256", "one by one"] { #expect(least.why?.contains(word) == true, "\(word)") }
    }

    @Test func `count unfinished uploads, and say what removes them`() {
        let one = DoctorFinding.objectStore(able, unfinishedUploads: 1)
        #expect(one.level == .note)
        #expect(one.found == "There is 1 unfinished upload in the object store.")
        #expect(one.mend?.action?.contains("prune --apply") == true)
        let two = DoctorFinding.objectStore(able, unfinishedUploads: 2)
        #expect(two.found == "There are 2 unfinished uploads in the object store.")
    }

    @Test func `name every broken promise`() {
        #expect(DoctorFinding.storageContract([]).level == .ok)
        let broken = DoctorFinding.storageContract(["writers: a", "listing: b"])
        #expect(broken.level == .error)
        #expect(broken.why == "writers: a; listing: b")
    }
}
