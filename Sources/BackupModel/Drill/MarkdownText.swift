/// `text` as it must stand in Markdown to be read as it is: no markup, no HTML, no line break, no table border, and no
/// character that is invisible or turns the direction of writing.
func escapedForMarkdown(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\n", "\r", "\t", "\u{2028}", "\u{2029}": result += " "
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\\", "`", "*", "_", "[", "]", "|", "~", "#", "$", "!": result += "\\\(scalar)"
        default:
            let isHidden = scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
            result.unicodeScalars.append(isHidden ? "\u{FFFD}" : scalar)
        }
    }
    return result
}

/// A Markdown table of cells that are Markdown already, or nothing if it has no rows.
func markdownTable(_ header: [String], _ rows: [[String]]) -> String {
    guard !rows.isEmpty else { return "" }
    let lines = [header, header.map { _ in "---" }] + rows
    return lines.map { "| \($0.joined(separator: " | ")) |\n" }.joined() + "\n"
}

/// A Markdown list of plain texts, or `none` as a sentence.
func markdownList(_ texts: [String], none: String) -> String {
    texts.isEmpty ? "\(none)\n\n" : texts.map { "- \(escapedForMarkdown($0))\n" }.joined() + "\n"
}
