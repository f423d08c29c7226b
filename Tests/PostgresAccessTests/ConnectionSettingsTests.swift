import BackupModel
import TestSupport
import Testing

@testable import PostgresAccess

@Suite struct `Connection settings` {
    @Test(arguments: [
        ("postgresql://app@db.example:5433/apex", "db.example", "5433", "app", "apex"),
        ("postgres://app@db.example/apex", "db.example", nil, "app", "apex"),
        ("postgresql+asyncpg://app:pw@db/apex", "db", nil, "app", "apex"),
        ("postgres+psycopg2://app:pw@db:1/apex\n", "db", "1", "app", "apex"),
        ("PostgreSQL+AsyncPG://app:p?w@db/apex?ssl=require", "db", nil, "app", "apex"),
        ("postgresql://app:p%40ss%2Fw@a,b:5433/apex", "a,b", ",5433", "app", "apex"),
        ("postgresql:///apex?host=/run/postgresql", "/run/postgresql", nil, nil, "apex"),
        ("postgresql://[::1]:5432/a%20b", "::1", "5432", nil, "a b"),
        ("host=db port=5433 user=app dbname='a b'", "db", "5433", "app", "a b"),
        ("  ", nil, nil, nil, nil),
    ])
    func `are read as they are found in the field`(
        text: String, host: String?, port: String?, user: String?, database: String?
    ) throws {
        let settings = try ConnectionSettings(parsing: text)
        #expect(settings.host == host)
        #expect(settings.port == port)
        #expect(settings.user == user)
        #expect(settings.database == database)
    }

    @Test(arguments: [
        ("ssl=require", "require"), ("ssl=true", "require"), ("ssl=false", "disable"),
        ("ssl=verify-full", "verify-full"), ("sslmode=verify-ca", "verify-ca"),
    ])
    func `asyncpg's ssl becomes sslmode`(parameter: String, sslmode: String) throws {
        let settings = try ConnectionSettings(parsing: "postgresql+asyncpg://app@db/apex?\(parameter)")
        #expect(settings.environment["PGSSLMODE"] == sslmode)
    }

    @Test(arguments: [
        ("postgresql+asyncpg://u:s3cret@db/apex?prepared_statement_cache_size=0", "prepared_statement_cache_size"),
        ("postgresql://u:s3cret@db/apex?ssl=s3cret", "sslmode"),
        ("postgresql://u:s3cret@x@db/apex", "%40"),
        ("postgresql://u:s3cret/x@db/apex", "%2F"),
        ("postgresql://u:s3cret%ZZ@db/apex", "%XX"),
        ("postgresql://u:s3cret@[db/apex", "matching"),
        ("postgresql://u:s3cret@db:port/apex", "port"),
        ("postgresql://u:s3cret@db:70000/apex", "port"),
        ("mysql://u:s3cret@db/apex", "mysql"),
        ("password=s3cret s3cret", "missing"),
        ("password=a s3cret=b", "invalid connection option"),
        ("s3cret", "keyword=value"),
        ("host=db sslpassword=s3cret", "sslpassword"),
    ])
    func `that cannot be used are refused without repeating them`(text: String, clue: String) {
        let error = #expect(throws: BackupError.self) { try ConnectionSettings(parsing: text) }
        #expect(error?.code == .settings)
        #expect(error?.description.contains(clue) == true)
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test func `reach child processes through the environment, the rest without secrets`() throws {
        let settings = try ConnectionSettings(
            parsing: "postgresql://app:s3cret@db:5433/apex?sslmode=require&keepalives_idle=7&options=-c%20a%3Db")
        let environment = settings.environment
        #expect(environment["PGHOST"] == "db")
        #expect(environment["PGPORT"] == "5433")
        #expect(environment["PGUSER"] == "app")
        #expect(environment["PGPASSWORD"] == "s3cret")
        #expect(environment["PGSSLMODE"] == "require")
        #expect(environment["PGOPTIONS"] == "-c a=b")
        let keepalives = "keepalives='1' keepalives_count='3' keepalives_idle='7' keepalives_interval='10'"
        #expect(settings.conninfoWithoutSecrets() == "dbname='apex' \(keepalives)")
        #expect(settings.conninfoWithoutSecrets(database: #"it's \"#) == #"dbname='it\'s \\' \#(keepalives)"#)
    }

    @Test func `notice a peer that is gone, in sessions too, unless they say otherwise`() throws {
        let plain = try ConnectionSettings(parsing: "host=db").sessionKeywords(applicationName: "tests")
        let given = try ConnectionSettings(parsing: "host=db keepalives_idle=7").sessionKeywords(applicationName: "a")
        func value(_ name: String, _ keywords: [(name: String, value: String)]) -> String? {
            keywords.first { $0.name == name }?.value
        }
        #expect(value("keepalives", plain) == "1" && value("keepalives_idle", plain) == "30")
        #expect(value("keepalives_interval", plain) == "10" && value("keepalives_count", plain) == "3")
        #expect(value("keepalives_idle", given) == "7" && value("keepalives_count", given) == "3")
    }

    @Test func `never show the password`() throws {
        let settings = try ConnectionSettings(parsing: "postgresql://app:s3cret@db:5433/a%2Fb?sslmode=require")
        #expect(settings.redacted == "postgresql://app@db:5433/a%2Fb")
        #expect(!"\(settings) \(String(reflecting: settings))".contains("s3cret"))
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(!dumped.contains("s3cret"))
        #expect(settings.redact("said s3cret") == "said ***")
        let socket = try ConnectionSettings(parsing: "host=/run/postgresql port=5433 user=app")
        #expect(socket.redacted == "postgresql://app@/?host=/run/postgresql&port=5433")
    }

    @Test(arguments: [
        "-rf", "a=b", "postgresql://x", "with space", "it's", #"back\slash "quoted""#, "line\nfeed", "a/b", "Ünïcode",
        "$HOME", "host=elsewhere dbname=x",
    ])
    func `take any name of a database literally, in sessions and in tools`(name: String) async throws {
        let cluster = try await PostgresCluster.shared()
        try await cluster.withDatabase(named: name) { settings in
            let session = try await cluster.session(settings)
            #expect(try await session.query("SELECT current_database()").firstValue == name)
            await session.close()
            let psql = ChildCommand(
                cluster.tools.path(of: "psql"),
                arguments: ["-XAtc", "SELECT current_database()", "--dbname=\(settings.conninfoWithoutSecrets())"],
                environment: settings.environment)
            let (outcome, text) = try await capture(psql)
            try requireSuccess(outcome, of: psql)
            #expect(text == "\(name)\n")
        }
    }
}

@Suite struct `Quoting` {
    @Test func `keeps identifiers and literals what they are`() async throws {
        let session = try await PostgresCluster.shared().session()
        let texts = [
            "plain", "it's", #"a"b"#, #"back\slash"#, #"\'; DROP TABLE x; --"#, "line\nfeed", "Ü", "",
            "'\u{301}", "\"\u{301}", "\\\u{301}'",
        ]
        for text in texts {
            for conforming in ["on", "off"] {
                try await session.execute("SET standard_conforming_strings = \(conforming)")
                #expect(try await session.query("SELECT \(quoteLiteral(text))").firstValue == text)
            }
            guard !text.isEmpty else { continue }
            #expect(try await session.query("SELECT 1 AS \(quoteIdentifier(text))").columns == [text])
        }
        await session.close()
    }
}
