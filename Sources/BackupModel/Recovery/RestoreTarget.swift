/// What `restore --to` was given: a moment or a place.
package enum RestoreTarget: Sendable, Hashable {
    case moment(RestoreMoment)
    case place(RestorePlace)
}

/// The moment a restore is to reach.
package enum RestoreMoment: Sendable, Hashable {
    /// The end of what is stored.
    case latest
    /// As soon as the backup is consistent.
    case immediate
    case transaction(UInt64)
    /// A named restore point.
    case restorePoint(String)
    case position(LogSequenceNumber)
    case time(Timestamp)
}

/// Where a restore goes.
package enum RestorePlace: Sendable, Hashable {
    /// A connection URL. It may hold a password: never print it.
    case url(String)
    case directory(String)
}

extension RestoreTarget {
    /// Reads one value of `--to`.
    ///
    /// - Throws: ``ErrorCode/usage``, in words that hold no part of a connection string.
    package init(parsing text: String) throws(BackupError) {
        if let scheme = Self.scheme(of: text) {
            guard Self.isPostgresScheme(scheme) else { throw Self.wrongScheme(scheme) }
            self = .place(.url(text))
        } else if let moment = try Self.moment(text) {
            self = .moment(moment)
        } else if ["/", "./", "../"].contains(where: text.hasPrefix) {
            self = .place(.directory(text))
        } else {
            throw Self.unreadable(text)
        }
    }

    /// Reads the values of one or two `--to`: a moment, a place, or both.
    package static func combine(
        _ texts: [String]
    ) throws(BackupError) -> (moment: RestoreMoment?, place: RestorePlace?) {
        var moment: RestoreMoment?
        var place: RestorePlace?
        for text in texts {
            switch try RestoreTarget(parsing: text) {
            case .moment(let value):
                guard moment == nil else { throw twice("moments", "Give one moment and, if you like, one place.") }
                moment = value
            case .place(let value):
                guard place == nil else { throw twice("places", "Restore into one place after the other.") }
                place = value
            }
        }
        return (moment, place)
    }
}

extension RestoreTarget {
    /// What stands before `://`, if that can be a scheme.
    private static func scheme(of text: String) -> String? {
        guard let end = text.utf8.indices.first(where: { text.utf8[$0...].starts(with: "://".utf8) }),
            end > text.startIndex
        else { return nil }
        let scheme = text.utf8[..<end]
        let isScheme = scheme.allSatisfy { ASCII.isLetter($0) || ASCII.isDigit($0) || "+-._".utf8.contains($0) }
        return isScheme ? String(decoding: scheme, as: UTF8.self) : nil
    }

    /// `postgresql`, `postgres`, or one of them with the name of a driver: `postgresql+asyncpg`.
    private static func isPostgresScheme(_ scheme: String) -> Bool {
        let base = scheme.lowercased().split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)[0]
        return base == "postgresql" || base == "postgres"
    }

    private static func moment(_ text: String) throws(BackupError) -> RestoreMoment? {
        if text == "latest" { return .latest }
        if text == "immediate" { return .immediate }
        if text.hasPrefix("xid:") {
            let digits = text.dropFirst(4)
            guard digits.utf8.allSatisfy(ASCII.isDigit), let number = UInt64(digits), number > 0 else {
                throw usage(
                    "'\(text)' names no transaction.", "Write its number in decimal digits, for example xid:48213.")
            }
            return .transaction(number)
        }
        if text.hasPrefix("name:") {
            let name = String(text.dropFirst(5))
            guard (1...63).contains(name.utf8.count) else {
                throw usage(
                    "'\(text)' names no restore point.",
                    "The name of a restore point has 1 to 63 bytes: name:before-migration.")
            }
            return .restorePoint(name)
        }
        if let position = LogSequenceNumber(parsing: text) { return .position(position) }
        switch TimeText.parse(text) {
        case .instant(let time): return .time(time)
        case .withoutOffset(let asUTC): throw withoutOffset(text, asUTC)
        case .notATime: return nil
        }
    }

    private static func withoutOffset(_ text: String, _ asUTC: Timestamp) -> BackupError {
        let local = "\(asUTC.description.dropLast())+02:00"
        let localAsUTC = asUTC.advanced(by: .seconds(-7200))
        return usage(
            "The time '\(text)' does not say whose clock it was read from.",
            reason: "it has no offset from UTC",
            "Write \(asUTC) if it is UTC, or add your own offset: on a clock two hours ahead of UTC it is \(local), "
                + "which is \(localAsUTC).")
    }

    private static func wrongScheme(_ scheme: String) -> BackupError {
        let guess = nearest(to: scheme.lowercased(), among: ["postgresql", "postgres"]) ?? "postgresql"
        return usage(
            "A restore cannot go to a URL that begins with '\(scheme)://'.",
            "Write a connection URL that begins with '\(guess)://', or a directory that begins with /, ./ or ../.")
    }

    private static func unreadable(_ text: String) -> BackupError {
        let lowercase = text.lowercased()
        let mayHoldSecret =
            text.contains("@") || text.contains("=") || lowercase.contains("passw") || text.contains("://")
        let guess = nearest(to: lowercase, among: ["latest", "immediate"]).map { "Did you mean '\($0)'? " } ?? ""
        return usage(
            mayHoldSecret
                ? "What --to was given is neither a moment nor a place."
                : "'\(text)' is neither a moment nor a place to restore to.",
            """
            \(guess)A moment is latest, immediate, xid:NUMBER, name:RESTORE-POINT, an LSN such as 0/3000148, or a time \
            with its offset such as 2025-01-27T14:30:00Z. A place is a URL that begins with postgresql://, or a \
            directory that begins with /, ./ or ../.
            """)
    }

    private static func twice(_ what: String, _ remedy: String) -> BackupError {
        usage("--to was given two \(what).", remedy)
    }

    private static func usage(_ message: String, reason: String? = nil, _ remedy: String) -> BackupError {
        BackupError(.usage, message, reason: reason, remedy: remedy, unchanged: "Nothing was restored.")
    }
}
