/// The body of a record that is reported, gathered from pieces: of its main data as much as is of use, of everything
/// before nothing but the headers.
struct WALRecordBody: Sendable {
    private let kind: WALRecordKind
    private let length: Int
    private let major: Int
    /// How many bytes of it were taken.
    private(set) var position = 0
    /// The first of them, at most as many as its headers can take.
    private(set) var headers: [UInt8] = []
    private var layout: WALRecordLayout?
    private var main: [UInt8] = []

    /// A body of `length` bytes.
    init(_ kind: WALRecordKind, length: Int, major: Int) {
        self.kind = kind
        self.length = length
        self.major = major
    }

    /// Takes the next bytes of the body.
    mutating func append(_ bytes: Span<UInt8>) {
        let wanted = min(length, WALRecordLayout.mostHeaderBytes)
        var index = 0
        while headers.count < wanted, index < bytes.count {
            headers.append(bytes[index])
            index += 1
        }
        if layout == nil, headers.count == wanted {
            let headers = headers
            layout = WALRecordLayout(headers.span, length: length, major: major)
            keepMain(of: headers.span, at: 0)
        }
        keepMain(of: bytes.extracting(droppingFirst: index), at: position + index)
        position += bytes.count
    }

    /// Keeps what of `bytes`, which are at `offset` of the body, belongs to the main data.
    private mutating func keepMain(of bytes: Span<UInt8>, at offset: Int) {
        guard let layout else { return }
        let end = layout.mainOffset + min(layout.mainLength, kind.keptBytes)
        var index = max(0, layout.mainOffset - offset)
        while index < bytes.count, offset + index < end {
            main.append(bytes[index])
            index += 1
        }
    }

    /// What the record says once all of it was taken; `nil` if its parts do not fit.
    func content(_ header: WALRecordHeader) -> WALRecord.Content? {
        guard let layout = layout ?? WALRecordLayout(headers.span, length: length, major: major) else { return nil }
        return WALRecord.Content(kind, header, main: main.span, length: layout.mainLength, major: major)
    }
}
