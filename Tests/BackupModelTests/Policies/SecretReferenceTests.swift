import Testing

@testable import BackupModel

@Suite struct `Referring to secrets` {
    @Test(arguments: ["env:APEX_URL", "env:_x9", "file:/run/secrets/url"])
    func `reads a reference and writes it back`(text: String) {
        #expect(SecretReference(parsing: text)?.description == text)
    }

    @Test(arguments: [
        "", "env:", "env:9X", "env:A-B", "env:A B", "ENV:A", "file:", "file:relative", "file:///var/x", "file:/",
        "hunter2",
    ])
    func `takes nothing else for a reference`(text: String) {
        #expect(SecretReference(parsing: text) == nil)
    }

    private let source = SecretSource(
        environment: { ["SET": "s3cret", "EMPTY": ""][$0] },
        readFile: { path throws(BackupError) in
            guard path == "/s" else { throw BackupError(.settings, "No file \(path).", remedy: "-") }
            return "fr0m file\n"
        })

    @Test func `finds the secret in the environment or a file, without the file's last line feed`() throws {
        #expect(try SecretReference.environment("SET").resolve(from: source) == "s3cret")
        #expect(try SecretReference.file("/s").resolve(from: source) == "fr0m file")
    }

    @Test(arguments: [SecretReference.environment("UNSET"), .environment("EMPTY"), .file("/missing")])
    func `says what is missing or empty`(reference: SecretReference) {
        #expect(throws: BackupError.self) { try reference.resolve(from: source) }
    }
}

@Suite struct `Finding passwords in connection URLs` {
    @Test(arguments: [
        "postgresql://u:p@h/db", "postgres://u:p%40@h/db", "postgresql+asyncpg://u:p@h:5432/db",
        "postgresql://h/db?password=p", "postgresql://h/db?sslmode=require&pass%77ord=p",
        "postgresql://h/db?SSLPassword=p",
        "postgresql://u:p?q@h/db", "postgresql://u:p/q@h/db", "http://u:p@h/",
    ])
    func `finds one`(url: String) { #expect(ConnectionReference.holdsPassword(url)) }

    @Test(arguments: [
        "postgresql://u@h/db", "postgresql://h:5432/db", "postgresql:///db?host=/tmp&user=u", "postgresql://u:@h/db",
        "postgresql://u@h:5432/db?passfile=/x", "http://localhost:8000/health",
    ])
    func `finds none`(url: String) { #expect(!ConnectionReference.holdsPassword(url)) }

    @Test func `knows connection URLs`() {
        for url in ["postgresql://h", "postgres://h", "postgresql+asyncpg://h"] {
            #expect(ConnectionReference.isConnectionURL(url))
        }
        for text in ["", "postgresql", "postgresql:/h", "mysql://h", "host=h", "postgresqlx://h"] {
            #expect(!ConnectionReference.isConnectionURL(text))
        }
    }
}
