import BackupModel

/// `text` without what would move a terminal's cursor, change its state or turn the direction of writing; lines stay.
func withoutControls(_ text: String) -> String { escapingControls(in: text) { $0 == "\n" || $0 == "\t" } }

/// `text` as part of a line: a line break in it is shown, not made.
func onOneLine(_ text: String) -> String { escapingControls(in: text) { _ in false } }

private func escapingControls(in text: String, except isKept: (Unicode.Scalar) -> Bool) -> String {
    guard text.unicodeScalars.contains(where: { isControl($0) && !isKept($0) }) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case _ where !isControl(scalar) || isKept(scalar): shown.unicodeScalars.append(scalar)
        case "\n": shown += "\\n"
        case "\r": shown += "\\r"
        case "\t": shown += "\\t"
        default: shown += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return shown
}

private func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    case .format: scalar.properties.isBidiControl
    default: false
    }
}

/// `message` with the passwords hidden that `arguments` hold, in URLs and in keyword strings.
func hidingPasswords(of arguments: [String], in message: String) -> String {
    var shown = message
    for argument in arguments {
        for password in passwords(in: argument).sorted(by: { $0.count > $1.count }) {
            for edges in [(":", "@"), ("=", "")] {
                shown = shown.replacing("\(edges.0)\(password)\(edges.1)", with: "\(edges.0)***\(edges.1)")
            }
            if password.utf8.count > 2 { shown = shown.hiding(password) }
        }
    }
    return shown
}

private func passwords(in argument: String) -> [String] {
    var found = argument.matches(of: /password\s*=\s*('[^']*'|[^&\s]+)/.ignoresCase()).map { String($0.1) }
    // A password that is not escaped as it must be may itself hold any of the characters that end it.
    if let scheme = argument.firstRange(of: "://"), let end = argument.lastIndex(of: "@"), scheme.upperBound < end {
        let login = argument[scheme.upperBound..<end]
        if let colon = login.firstIndex(of: ":") { found.append(String(login[login.index(after: colon)...])) }
        // In a list of places, and where the database has an '@', the first login ends earlier.
        if let first = login.firstIndex(of: "@"), let colon = login[..<first].firstIndex(of: ":") {
            found.append(String(login[login.index(after: colon)..<first]))
        }
    }
    return found.filter { !$0.isEmpty }
}
