/// Columns of text, padded so that they align; the last is not padded.
struct TextTable {
    var header: [String]
    var rows: [[String]] = []

    var text: String {
        let all = ([header] + rows).map { $0.map(onOneLine) }
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            zip(row, widths).enumerated().map { column, cell in
                column == header.count - 1
                    ? cell.0 : cell.0 + String(repeating: " ", count: max(0, cell.1 - cell.0.count))
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
