import BackupModel
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `The commands by which a server reaches the archive` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func commands(_ variables: [String: String]) throws -> WALCommands {
        let all = ["APEX_BACKUP_REPOSITORY": "s3://bucket/apex"].merging(variables) { $1 }
        return try WALCommands(.load(.init(), environment: BackupEnvironment(variables: all)))
    }

    @Test func `name the files with credentials, in words that PostgreSQL and its shell leave as they are`() throws {
        try directory.write(
            Array("[default]\naws_access_key_id = AKID\naws_secret_access_key = hunter2\n".utf8), to: "100%'s")
        let commands = try commands(["AWS_SHARED_CREDENTIALS_FILE": directory.path(of: "100%'s")])
        let file = #"AWS_SHARED_CREDENTIALS_FILE='\#(directory.path)/100%%'\''s'"#
        let recovery = commands.recovery(of: "7", pieces: nil)
        #expect(recovery.hasPrefix("AWS_REGION=us-east-1 \(file) '/"), "\(recovery)")
        #expect(recovery.hasSuffix(" 7 '--repository' 's3://bucket/apex' '--cluster' apex %f %p"))
        #expect(!recovery.contains("hunter2") && !recovery.contains("AKID"))
        #expect(commands.needed == [])
        // And `doctor` knows them again.
        guard case .push(let push) = ArchiveCommand(parsing: commands.push).content else {
            Issue.record("\(commands.push)")
            return
        }
        #expect(push.repository == "s3://bucket/apex")
        #expect(push.cluster == "apex")
        #expect(ArchiveCommand(parsing: commands.push).flaws == [])
    }

    @Test func `leave secrets to the environment of the server, and say which`() throws {
        let commands = try commands(["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2"])
        #expect(commands.needed == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
        for command in [commands.push, commands.recovery(of: "7", pieces: nil)] {
            #expect(command.hasPrefix("AWS_REGION=us-east-1 '/"), "\(command)")
            #expect(!command.contains("hunter2") && !command.contains("AKID"))
        }
    }

    @Test func `need nothing for a directory`() throws {
        let commands = try commands([
            "APEX_BACKUP_REPOSITORY": "/backups", "AWS_ACCESS_KEY_ID": "AKID", "AWS_PROFILE": "nightly",
        ])
        #expect(commands.needed == [])
        #expect(commands.push.hasPrefix("'/"))
    }
}
