import Testing

@testable import BackupModel

@Suite struct `Escaping text` {
    @Test func `replaces a quote that a combining mark, a joiner or a variation selector follows`() {
        for mark in ["\u{301}", "\u{200D}", "\u{FE0F}", ""] {
            #expect("a\"\(mark)b".escaping(["\"": "\"\""]) == "a\"\"\(mark)b")
        }
    }

    @Test func `hides a secret that a combining mark follows`() {
        #expect("as=hunter2\u{301};".hiding("hunter2").utf8.elementsEqual("as=***\u{301};".utf8))
        #expect("nothing".hiding("") == "nothing")
    }
}
