import BackupModel
import Testing

@testable import ApexBackup

@Suite struct `The journal of a drill` {
    private func journal() -> DrillJournal {
        DrillJournal(id: RunID(at: Timestamp(microseconds: 0), chance: 7), clocks: .system, events: { _ in })
    }

    @Test func `gives the end of a phase to the next one, and makes one of two that are the same`() {
        var journal = journal()
        journal.cut(.seconds(1), as: .promote)
        journal.join()
        #expect(journal.spans.isEmpty)
        journal.spans = [DrillSpan(.replay, start: .seconds(10), duration: .seconds(5), bytes: 7)]
        journal.cut(.zero, as: .promote)
        journal.cut(.seconds(6), as: .promote)
        #expect(journal.spans.count == 1, "nothing, or more than there is")
        journal.cut(.seconds(2), as: .promote)
        let replay = DrillSpan(.replay, start: .seconds(10), duration: .seconds(3), bytes: 7)
        #expect(journal.spans == [replay, DrillSpan(.promote, start: .seconds(13), duration: .seconds(2))])
        journal.spans.append(DrillSpan(.promote, start: .seconds(16), duration: .seconds(1)))
        journal.join()
        let promote = DrillSpan(.promote, start: .seconds(13), duration: .seconds(4))
        #expect(journal.spans == [replay, promote])
        journal.join()
        #expect(journal.spans == [replay, promote])
    }
}
