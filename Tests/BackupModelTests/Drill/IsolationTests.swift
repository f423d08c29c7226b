import BackupModel
import Testing

@Suite struct `The isolation of a drill's server` {
    @Test func `is one table of settings, none of which a policy can change`() {
        let names = IsolationSetting.all.map(\.name)
        #expect(Set(names).count == names.count)
        for setting in IsolationSetting.all {
            switch DrillPolicy.Target.isolation(ofSetting: setting.name) {
            case .only(let value): #expect(value == setting.value(in: "/scratch"))
            case .never: #expect(!setting.why.isEmpty)
            case nil: Issue.record("\(setting.name) can be changed")
            }
        }
        #expect(DrillPolicy.Target.isolation(ofSetting: "work_mem") == nil)
        #expect(DrillPolicy.Target.isolation(ofSetting: "archive_mode") == .only("off"))
        #expect(DrillPolicy.Target.isolation(ofSetting: "data_directory") == .never)
    }

    @Test func `knows only what the version knows`() {
        #expect(!IsolationSetting.all(ofMajor: 14).contains { $0.name == "archive_library" })
        #expect(IsolationSetting.all(ofMajor: 15).contains { $0.name == "archive_library" })
    }

    @Test func `holds for the value it was given, and no other`() throws {
        let directory = try #require(IsolationSetting.all.first { $0.name == "data_directory" })
        #expect(directory.holds("/scratch/data", in: "/scratch"))
        #expect(!directory.holds("/var/lib/postgresql", in: "/scratch"))
        #expect(!directory.holds(nil, in: "/scratch"))
        let command = try #require(IsolationSetting.all.first { $0.name == "archive_command" })
        #expect(command.holds("(disabled)", in: "/scratch") && command.holds("", in: "/scratch"))
        #expect(!command.holds("cp %p /archive", in: "/scratch"))
    }
}
