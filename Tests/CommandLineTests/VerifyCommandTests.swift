import FoundationEssentials
import TestSupport
import Testing

@Suite struct `Verifying every backup` {
    @Test func `goes on after a bad one, names its object and what is wrong, and exits with 1`() async throws {
        try await Workplace.with { place in
            let ids = [try await place.backUp(), try await place.backUp(), try await place.backUp()].sorted()
            let sound = try await place.succeed("verify", "--all")
            #expect(sound.standardOutput.split(separator: "\n").map { $0.prefix(20) } == ids.map { $0.prefix(20) })

            let dumps = try ids.prefix(2).map { id in
                let folder = "repository/clusters/apex/backups/\(id)"
                let names = try FileManager.default.contentsOfDirectory(atPath: place.path(folder))
                return "\(folder)/\(try #require(names.first { $0.contains(".dump") }))"
            }
            var bytes = try place.directory.read(dumps[0])
            bytes[bytes.count / 2] ^= 1
            try place.directory.write(bytes, to: dumps[0])
            try FileManager.default.removeItem(atPath: place.path(dumps[1]))

            let bad = try await place.tool.run("verify", "--all")
            #expect(bad.status == 1)
            let lines = bad.standardOutput.split(separator: "\n")
            #expect(lines.map { $0.contains("DAMAGED") } == [true, true, false], "\(bad.standardOutput)")
            for dump in dumps {
                let name = dump.split(separator: "/").last ?? ""
                #expect(bad.standardError.contains(name), "\(bad.standardError)")
            }
            #expect(bad.standardError.contains("is missing") && bad.standardError.contains("object-damaged"))

            let json = try await place.tool.run("verify", "--all", "--json")
            #expect(json.status == 1 && json.standardError.isEmpty, "\(json.standardError)")
            let codes = try json.json().elements.map { $0["problems"]?.elements.compactMap { $0["code"]?.text } }
            #expect(codes == [["object-damaged"], ["object-missing"], []])
            let one = try await place.tool.run("verify", ids[0], "--level", "list")
            #expect(one.status == 0, "a flipped bit has no size: \(one.standardError)")
            #expect(try await place.tool.run("verify", ids[1], "--level", "list").status == 1)
            let verified = try await place.array("list").map { $0["state"]?.text }
            #expect(verified == ["committed", "committed", "verified"])
        }
    }
}
