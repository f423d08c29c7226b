import BackupModel
import TestSupport
import Testing

@testable import ApexBackup

/// The error that reading `text` as a mapping with the keys `name` and `inner` ends in.
private func problem(
    _ text: String, _ body: (YAMLMapping) throws(BackupError) -> Void = { _ in }
) -> String? {
    do {
        let keys = YAMLKeys(["name", "inner", "list", "wait"], later: ["soon": "Leave it out."])
        try body(StrictYAML(fileName: "p.yaml").root(of: text, keys: keys))
        return nil
    } catch {
        #expect(error.code == .settings)
        #expect(error.code.exitStatus == 78)
        return error.message
    }
}

@Suite struct `Reading YAML strictly` {
    @Test(arguments: [
        ("nmae: x", "p.yaml:1:1: unknown key 'nmae'; did you mean 'name'?"),
        ("name: x\nzzzzzz: y", "p.yaml:2:1: unknown key 'zzzzzz'"),
        ("soon: x", "p.yaml:1:1: key 'soon' is not supported by this version"),
        ("name: a\nname: b", "p.yaml:1:1: key 'name' is given more than once in this mapping"),
        ("name: a\n\"name\": b", "p.yaml:1:1: key 'name' is given more than once in this mapping"),
        ("name: &a x\nlist: *a", "p.yaml:1:7: anchors and aliases are not allowed"),
        ("name: *a", "p.yaml:1:7: anchors and aliases are not allowed: found undefined alias"),
        ("<<: {name: x}", "p.yaml:1:1: merge keys ('<<') are not allowed"),
        ("name: !!str x", "p.yaml:1:7: the tag 'tag:yaml.org,2002:str' is not allowed"),
        ("inner:\n\tname: x", "p.yaml:2:1: a tab indents this line"),
        ("name: x\n---\nname: y", "p.yaml:2:1: a second document begins here"),
        ("", "p.yaml: the file is empty"),
        ("# nothing\n", "p.yaml: the file is empty"),
        ("- a", "p.yaml:1:1: the file must be a mapping of keys to values, not a list"),
        ("name", "p.yaml:1:1: the file must be a mapping of keys to values, not a single value"),
        ("? [a]\n: b", "p.yaml:1:3: a key is not a plain word"),
        (
            "name: [a",
            "p.yaml:2:1: this is not YAML: did not find expected ',' or ']' (while parsing a flow sequence, line 1)"
        ),
        (
            "name: \"a",
            "p.yaml:1:9: this is not YAML: found unexpected end of stream (while scanning a quoted scalar, line 1)"
        ),
        ("name: \u{1}", "p.yaml:1:7: the text can not be read: control characters are not allowed"),
    ])
    func `names file, line and column of what is wrong`(text: String, expected: String) {
        #expect(problem(text) == expected)
    }

    @Test func `says when a mapping or a required key is missing, at the parent's position`() {
        #expect(
            problem("name: x\ninner:\n  a: b") { root throws(BackupError) in
                _ = try root.mapping("inner", YAMLKeys(["a", "b"])).required("b")
            } == "p.yaml:3:3: key 'b' is missing in 'inner'")
        #expect(
            problem("name: x") { root throws(BackupError) in _ = try root.required("wait") }
                == "p.yaml:1:1: key 'wait' is missing")
        #expect(
            problem("inner:\n  nam: x") { root throws(BackupError) in _ = try root.mapping("inner", YAMLKeys(["name"]))
            }
                == "p.yaml:2:3: unknown key 'nam' in 'inner'; did you mean 'name'?")
    }

    @Test(arguments: [
        ("30", "'wait': '30' has no unit; write 30s, 30m, 30h or 30d"),
        ("\"30\"", "'wait': '30' has no unit; write 30s, 30m, 30h or 30d"),
        ("soon", "'wait' must be a duration, not 'soon'"), ("0s", "'wait' must be at least 1 ms, not '0s'"),
        ("", "'wait' has no value"), ("~", "'wait' has no value"),
        ("[1s]", "'wait' must be a single value, not a list"),
    ])
    func `refuses what is no duration`(value: String, expected: String) {
        let message = problem("wait: \(value)") { root throws(BackupError) in _ = try root.required("wait").duration() }
        #expect(message?.hasSuffix(": " + expected) == true, "\(message ?? "accepted")")
    }

    @Test func `reads durations, whole numbers, truth values, sizes and lists`() throws {
        let root = try StrictYAML(fileName: "p").root(
            of: "{d: 1h30m, i: 7, b: true, s: 64MiB, l: [a, 'b c'], v: [prog, '', -x], t: \"null\"}",
            keys: YAMLKeys(["d", "i", "b", "s", "l", "v", "t"]))
        #expect(try root.required("d").duration() == .seconds(5400))
        #expect(try root.required("i").integer(in: 1...9) == 7)
        #expect(try root.required("b").boolean())
        #expect(try root.required("s").byteCount(atLeast: 1) == 64 << 20)
        #expect(try root.required("l").strings() == ["a", "b c"])
        #expect(try root.required("v").arguments() == ["prog", "", "-x"])
        #expect(try root.required("t").string() == "null")
        #expect(root["x"] == nil)
    }

    @Test(arguments: ["10", "0", "-1", "1.5", "x", "\"5\"", "1e0", "99999999999999999999"])
    func `refuses what is no whole number in range`(value: String) {
        let message = problem("name: \(value)") { root throws(BackupError) in
            _ = try root.required("name").integer(in: 1...9)
        }
        #expect(message?.contains("'name' must be a whole number from 1 to 9, not ") == true)
    }

    @Test(arguments: ["yes", "on", "True", "1", "\"true\""])
    func `takes only true and false for truth values`(value: String) {
        let message = problem("name: \(value)") { root throws(BackupError) in _ = try root.required("name").boolean() }
        #expect(message?.contains("'name' must be true or false") == true)
    }

    @Test(arguments: ["64", "64MB", "MiB", "-1MiB", "1.5GiB", "99999999999TiB"])
    func `refuses what is no size`(value: String) {
        let message = problem("name: \(value)") { root throws(BackupError) in
            _ = try root.required("name").byteCount(atLeast: 1)
        }
        #expect(message?.contains("'name' must be a size") == true)
    }

    private enum Fruit: String, CaseIterable { case apple, cherry }

    @Test func `lists the words of a choice and the nearest one`() {
        let read = { (root: YAMLMapping) throws(BackupError) in
            _ = try root.required("name").choice(Fruit.self, later: ["durian"])
        }
        #expect(problem("name: aple", read) == "p.yaml:1:7: 'name' can not be 'aple'; did you mean 'apple'?")
        #expect(problem("name: durian", read) == "p.yaml:1:7: 'name: durian' is not supported by this version")
        #expect(problem("name: cherry", read) == nil)
    }

    @Test func `refuses a text twice in a list, an empty program and a command line in one piece`() {
        #expect(
            problem("list: [a, b, a]") { root throws(BackupError) in _ = try root.required("list").strings() }
                == "p.yaml:1:14: 'a' is twice in 'list'")
        #expect(
            problem("list: []") { root throws(BackupError) in _ = try root.required("list").arguments() }
                == "p.yaml:1:7: 'list' is empty; it must begin with a program")
        #expect(
            problem("list: curl -f x") { root throws(BackupError) in _ = try root.required("list").arguments() }
                == "p.yaml:1:7: 'list' must be a list, not a single value")
    }

    @Test(arguments: ["[", "{a: ", "- ", "? "])
    func `refuses nesting without end`(bracket: String) {
        #expect(problem("name: x\nlist:\n  " + String(repeating: bracket, count: 100_000)) != nil)
    }

    @Test func `never repeats what may be a secret`() throws {
        for text in ["name: hunter2", "name: postgresql://u:hunter2@h/db", "name: 'host=h password=hunter2'"] {
            let message = problem(text) { root throws(BackupError) in _ = try root.required("name").connection() }
            #expect(message?.contains("hunter2") == false, "\(message ?? "accepted")")
        }
        let message = problem("name: hunter2") { root throws(BackupError) in
            _ = try root.required("name").secretReference()
        }
        #expect(message == "p.yaml:1:7: 'name' must be a reference: env:NAME or file:/PATH")
    }

    @Test func `is how policy files are read`() throws {
        let files = try TemporaryDirectory()
        var flags = EffectivePolicy.Flags()
        flags.policy = files.path(of: "p.yaml")
        let text = "apiVersion: apex-backup/v1\nkind: BackupPolicy\nmetadata: {name: prod}\n"
        try files.write(Array("\u{FEFF}\(text)".utf8), to: "p.yaml")
        #expect(try EffectivePolicy.load(flags, environment: BackupEnvironment(variables: [:])).policy.name == "prod")
        try files.write(Array(text.utf8) + [0xFF], to: "p.yaml")
        for error in [
            #expect(throws: BackupError.self) {
                try EffectivePolicy.load(flags, environment: BackupEnvironment(variables: [:]))
            },
            #expect(throws: BackupError.self) { try DrillPolicyText.read(files.path(of: "p.yaml")) },
        ] {
            #expect(error?.message == "\(files.path(of: "p.yaml")):4:1: the file is not UTF-8")
        }
    }

    @Test func `reads UTF-8, drops a byte order mark, and names the line of a byte that is none`() throws {
        #expect(try StrictYAML.text(Array("\u{FEFF}a: ü".utf8), fileName: "p") == "a: ü")
        let wrong = #expect(throws: BackupError.self) {
            try StrictYAML.text(Array("a: b\nc: ".utf8) + [0xFF], fileName: "p")
        }
        #expect(wrong?.message == "p:2:1: the file is not UTF-8")
        #expect(
            try StrictYAML.text(Array(repeating: 0x20, count: StrictYAML.largestFile), fileName: "p").count == 1 << 20)
        let large = #expect(throws: BackupError.self) {
            try StrictYAML.text(Array(repeating: 0x20, count: StrictYAML.largestFile + 1), fileName: "p")
        }
        #expect(large?.message == "p: the file has 1.0 MiB; settings have at most 1.0 MiB")
    }
}
