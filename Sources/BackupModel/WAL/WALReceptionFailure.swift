/// What to do when a stream of WAL has ended in an error.
package enum WALReceptionFailure: Sendable, Hashable {
    /// It passes by itself: try again, for ever.
    case passing
    /// Somebody else uses the slot: a stream of our own that the server has not missed yet, or another receiver.
    case slotTaken
    /// The server has removed the WAL that was asked for.
    case walRemoved
    /// The repository lets this process write no more, which it did before: somebody has to mend that, or its credentials
    /// come back.
    case forbidden
    /// Something that is stored is not what was stored, or is not there any more: it is received once more.
    case damaged
    /// It does not pass without an operator.
    case lasting

    /// Judges an error by its code, and by the SQLSTATE of the server if it is the server's.
    ///
    /// A server that has let this process stream before, and has no room or no slot for it now, has none for a moment only:
    /// the stream that was lost may still take it. A repository that never let this process store anything never will; it
    /// was there when the process began.
    package init(_ code: ErrorCode, sqlstate: String?, hasStreamed: Bool, hasStored: Bool) {
        switch (code, sqlstate) {
        case (_, "55006"): self = .slotTaken
        case (_, "58P01"): self = .walRemoved
        // Too many connections or WAL senders.
        case (_, "53300"): self = hasStreamed ? .passing : .lasting
        // No slot is free where one was; or the slot was invalidated since it was looked at: then it is made anew.
        case (.queryFailed, "53400"), (.queryFailed, "55000"): self = hasStreamed ? .passing : .lasting
        // The slot was dropped in between.
        case (_, "42704"): self = .passing
        case (.serverUnreachable, _), (.serverConnectionLost, _): self = .passing
        // Its file system is not mounted for a moment, or does not answer.
        case (.repositoryUnavailable, _), (.repositoryFull, _), (.repositoryMissing, _): self = .passing
        case (.storageFailed, _): self = hasStreamed ? .passing : .lasting
        // Not the server's: the repository refuses, or what gives out the credentials for it has none just now.
        case (.permissionDenied, nil), (.authenticationFailed, nil), (.settings, nil):
            self = hasStored ? .forbidden : .lasting
        case (.serverRefused, "57P03"?), (.serverRefused, "57P01"?), (.serverRefused, "57P02"?): self = .passing
        // Its disk is full, or its memory.
        case (.queryFailed, "53100"?), (.queryFailed, "53200"?): self = .passing
        case (.queryFailed, let state?): self = Self.passingClasses.contains(state.prefix(2)) ? .passing : .lasting
        default: self = code.isDamage ? .damaged : .lasting
        }
    }

    /// Classes of SQLSTATEs that are the server's own trouble: connections, interventions of operators, its file system,
    /// its defects.
    private static let passingClasses: Set<Substring> = ["08", "57", "58", "XX"]
}
