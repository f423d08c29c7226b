/// A setting whose value is a list of paths: `unix_socket_directories` and the lists of libraries.
///
/// PostgreSQL, `SplitDirectoriesString` in src/backend/utils/adt/varlena.c.
enum PathList {
    /// The elements of a list, or `nil` if a server refuses it.
    static func names(in list: String) -> [String]? {
        var names: [String] = []
        var rest = Array(list.utf8)[...].drop(while: ASCII.isSpace)
        if rest.isEmpty { return [] }
        while true {
            let name: [UInt8]
            if rest.first == ASCII.doubleQuote {
                guard let quoted = unquoted(&rest) else { return nil }
                name = quoted
                rest = rest.drop(while: ASCII.isSpace)
            } else {
                let bare = rest.prefix { $0 != UInt8(ascii: ",") }
                rest = rest.dropFirst(bare.count)
                name = Array(bare.reversed().drop(while: ASCII.isSpace).reversed())
                guard !name.isEmpty else { return nil }
            }
            names.append(String(decoding: name, as: UTF8.self))
            guard let separator = rest.popFirst() else { return names }
            guard separator == UInt8(ascii: ",") else { return nil }
            rest = rest.drop(while: ASCII.isSpace)
        }
    }

    private static func unquoted(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        var name: [UInt8] = []
        rest = rest.dropFirst()
        while let byte = rest.popFirst() {
            if byte == ASCII.doubleQuote {
                guard rest.first == ASCII.doubleQuote else { return name }
                rest = rest.dropFirst()
            }
            name.append(byte)
        }
        return nil
    }

    /// An element of a list of paths: as it is, or between double quotes if it has white space, commas or quotes.
    static func quoted(_ name: String) -> String {
        let needsQuotes = name.utf8.contains { ASCII.isSpace($0) || $0 == ASCII.doubleQuote || $0 == UInt8(ascii: ",") }
        return needsQuotes ? "\"\(name.escaping(["\"": "\"\""]))\"" : name
    }
}
