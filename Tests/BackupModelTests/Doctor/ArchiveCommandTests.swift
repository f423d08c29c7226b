import TestSupport
import Testing

@testable import BackupModel

@Suite struct `An archive_command` {
    private func push(
        _ program: String = "/usr/bin/apex-backup", policy: String? = nil, repository: String? = nil,
        cluster: String? = nil
    ) -> ArchiveCommand.Content {
        .push(.init(program: program, policy: policy, repository: repository, cluster: cluster))
    }

    @Test func `of apex-backup is recognised in every spelling, with what names the repository`() {
        let cases: [(String, ArchiveCommand.Content)] = [
            ("/usr/bin/apex-backup wal push %p", push()),
            ("exec /usr/bin/apex-backup wal push \"%p\"", push()),
            (
                "LLVM_PROFILE_FILE=/dev/null /opt/x/apex-backup wal push --policy /etc/p.yaml %p",
                push("/opt/x/apex-backup", policy: "/etc/p.yaml")
            ),
            (
                "'/usr/bin/apex-backup' 'wal' push --policy=/etc/p.yaml --cluster main '%p'",
                push(policy: "/etc/p.yaml", cluster: "main")
            ),
            ("/usr/bin/apex-backup wal push %p --repository '/srv/my backups'", push(repository: "/srv/my backups")),
            ("/usr/bin/apex-backup wal push --repository /srv/my\\ %%20 %p", push(repository: "/srv/my %20")),
            (
                "APEX_BACKUP_REPOSITORY=/r APEX_BACKUP_CLUSTER=c /usr/bin/apex-backup wal push %p",
                push(repository: "/r", cluster: "c")
            ),
            ("APEX_BACKUP_REPOSITORY=/r /usr/bin/apex-backup wal push --repository /s %p", push(repository: "/s")),
            ("env A=b timeout -k 5 60 nice -n 10 /usr/bin/apex-backup wal push %p >> /var/log/wal 2>&1", push()),
            ("test -d /srv/backup && /usr/bin/apex-backup wal push %p # ours", push()),
            ("/usr/local/bin/renamed wal push %p", push("/usr/local/bin/renamed")),
        ]
        for (text, content) in cases {
            let command = ArchiveCommand(parsing: text)
            #expect(command.content == content, "\(text)")
            #expect(command.flaws.isEmpty, "\(text)")
        }
    }

    @Test(arguments: [
        "/bin/true", "true", ":", "exit 0", "exit", "/usr/bin/true %p", "echo %p", "true && :", "test -f /x/%f || true",
        "cd /tmp; exit 0",
    ])
    func `that stores nothing is seen to`(text: String) {
        #expect(ArchiveCommand(parsing: text).content == .storesNothing)
    }

    @Test func `of another tool is named by its program`() {
        let cases = [
            ("pgbackrest --stanza=main archive-push %p", "pgbackrest"), ("wal-g wal-push %p", "wal-g"),
            ("test ! -f /mnt/%f && cp %p /mnt/%f", "cp"), ("[ ! -f /mnt/%f ] && /bin/cp \"%p\" /mnt/%f", "cp"),
            ("gzip < %p > /mnt/%f.gz", "gzip"), ("cp pg_wal/%f /mnt/%f", "cp"),
        ]
        for (text, tool) in cases {
            #expect(ArchiveCommand(parsing: text).content == .other(tool), "\(text)")
            #expect(ArchiveCommand(parsing: text).flaws.isEmpty, "\(text)")
        }
    }

    @Test(arguments: [
        "/usr/local/bin/archive.sh %p", "if test -f %p; then cp %p /mnt; fi", "$HOME/apex-backup wal push %p",
        "sh -c 'cp %p /mnt'", "(cp %p /mnt)", "/usr/bin/apex-backup wal status", "%p", "cp `echo %p` /mnt", "false",
        "test -f /mnt/%f || /usr/bin/apex-backup wal push %p", "! cp %p /mnt/%f",
        "exit 0; /usr/bin/apex-backup wal push %p", "'/usr/bin/apex-backup wal push %p'",
    ])
    func `that nobody but a shell understands is never said to be right`(text: String) {
        guard case .notUnderstood = ArchiveCommand(parsing: text).content else {
            Issue.record("\(text): \(ArchiveCommand(parsing: text))")
            return
        }
    }

    @Test func `has its flaws named`() {
        let ours = "/usr/bin/apex-backup wal push %p"
        let cases: [(String, ArchiveCommand.Flaw)] = [
            ("\(ours) || true", .hidesFailure("'|| true'")), ("\(ours); exit 0", .hidesFailure("'; exit 0'")),
            ("\(ours) &", .hidesFailure("'&' does not wait for its status")),
            ("\(ours) | logger", .hidesFailure("of a pipe only the last command's status counts")),
            ("\(ours) || echo failed", .hidesFailure("'|| echo failed'")),
            ("apex-backup wal push %p", .relativeProgram("apex-backup")),
            ("./bin/apex-backup wal push %p", .relativeProgram("./bin/apex-backup")),
            ("archive.sh %p", .relativeProgram("archive.sh")), ("/usr/bin/apex-backup wal push %f", .noPath),
            ("/usr/bin/apex-backup wal push %%p", .noPath), ("/usr/bin/apex-backup wal push x%p", .noPath),
            ("cp a b", .noPath), ("\(ours) %r", .unknownPlaceholder("%r")),
            ("cp %p /mnt/100%", .unknownPlaceholder("%")),
            ("/usr/bin/apex-backup wal push '%p", .unbalancedQuote("'")),
            ("/usr/bin/apex-backup wal push \"%p", .unbalancedQuote("\"")),
        ]
        for (text, flaw) in cases { #expect(ArchiveCommand(parsing: text).flaws == [flaw], "\(text)") }
        for text in ["\(ours) || exit 1", "\(ours) && echo done", "\(ours) || false", "cp %p /a || cp %p /b"] {
            #expect(ArchiveCommand(parsing: text).flaws.isEmpty, "\(text)")
        }
    }

    @Test func `that is empty is empty`() {
        for text in ["", "  ", "# cp %p /mnt", "\n;"] { #expect(ArchiveCommand(parsing: text).content == .empty) }
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `of chance is read without an end of this program`(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        let parts = [
            "%", "%p", "%f", "%%", "'", "\"", "\\", "$", "`", "&", "|", ";", "\n", " ", "#", ">", "<", "(", "!", "=",
            "A=", "é", "\u{301}", "-n", "9", "timeout", "env", "exit", "true", "wal", "push", "--policy", "apex-backup",
            "/",
        ]
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 0...14, using: &chance)).map { _ in parts.randomElement(using: &chance) ?? ""
            }
            .joined(separator: Bool.random(using: &chance) ? " " : "")
            if case .push = ArchiveCommand(parsing: text).content {
                #expect(text.contains("wal") && text.contains("push"), "\(seed): \(text)")
            }
        }
    }
}
