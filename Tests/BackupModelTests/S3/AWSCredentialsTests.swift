import Testing

@testable import BackupModel

@Suite struct `Reading AWS's shared files` {
    @Test func `reads profiles of both files, of which the credentials file holds first`() {
        var files = SharedAWSFiles()
        files.add(
            configuration: """
                # a comment
                [default]
                region = eu-central-1
                aws_access_key_id = FROMCONFIG
                s3 =
                    addressing_style = path
                [profile nightly]
                region=us-west-2 ; where it is
                [services local]
                region = nowhere
                [nightly]
                region = not this one
                """)
        files.add(
            credentials: """
                [default]
                AWS_Access_Key_Id = AKID
                aws_secret_access_key = a/b+c#d=e   # old

                [ nightly ]
                aws_access_key_id=NIGHT
                """)
        #expect(Set(files.profiles.keys) == ["default", "nightly"])
        #expect(files.profiles["default"]?["aws_access_key_id"] == "AKID")
        #expect(files.profiles["default"]?["aws_secret_access_key"] == "a/b+c#d=e")
        #expect(files.profiles["default"]?["region"] == "eu-central-1")
        #expect(files.profiles["default"]?["addressing_style"] == nil)
        #expect(files.profiles["nightly"]?["region"] == "us-west-2")
        #expect(files.profiles["nightly"]?["aws_access_key_id"] == "NIGHT")
    }
}

@Suite struct `Holding credentials` {
    private let now = Timestamp(microseconds: 1_700_000_000_000_000)

    @Test func `renews what expires five minutes before its end`() {
        func credentials(for seconds: Int64) -> AWSCredentials {
            AWSCredentials(accessKey: "A", secretKey: "S", expiry: now.advanced(by: .seconds(seconds)))
        }
        #expect(!credentials(for: 300).areDue(at: now))
        #expect(credentials(for: 299).areDue(at: now))
        #expect(!credentials(for: 1).areExpired(at: now))
        #expect(credentials(for: 0).areExpired(at: now))
        #expect(!AWSCredentials(accessKey: "A", secretKey: "S").areDue(at: now))
    }

    @Test func `shows no secret in any text`() {
        let credentials = AWSCredentials(accessKey: "AKID", secretKey: "hunter2", sessionToken: "t0ken")
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), dumped] {
            #expect(!text.contains("hunter2") && !text.contains("t0ken"), "\(text)")
        }
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
        ("Thu, 29 Feb 2024 23:59:60 GMT", "2024-03-01T00:00:00Z"),
    ])
    func `reads the store's clock`(text: String, expected: String) {
        #expect(HTTPDate.parse(text)?.description == expected)
    }

    @Test(arguments: [
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
    ])
    func `takes nothing else for a date`(text: String) { #expect(HTTPDate.parse(text) == nil) }
}

@Suite struct `Finding where credentials come from` {
    private func source(
        _ variables: [String: String], profile text: String = ""
    ) throws -> AWSCredentialSource {
        var files = SharedAWSFiles()
        files.add(credentials: text)
        return try AWSCredentialSource.choose(variables: variables, files: files, region: "eu-1")
    }

    private static let keys = "[default]\naws_access_key_id = F\naws_secret_access_key = S\n"

    @Test func `looks at the places in the order of AWS's tools`() throws {
        var variables = [
            "AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "text",
        ]
        #expect(
            try source(variables, profile: Self.keys)
                == .keys(AWSCredentials(accessKey: "E", secretKey: "S", sessionToken: "T")))
        variables["AWS_ACCESS_KEY_ID"] = ""
        #expect(
            try source(variables, profile: Self.keys)
                == .webIdentity(
                    .init(
                        tokenFile: "/token", role: "arn", session: "apex-backup",
                        endpoint: "https://sts.eu-1.amazonaws.com")))
        let china = try AWSCredentialSource.choose(variables: variables, files: .init(), region: "cn-north-1")
        guard case .webIdentity(let identity) = china else {
            Issue.record("\(china)")
            return
        }
        #expect(identity.endpoint == "https://sts.cn-north-1.amazonaws.com.cn")
        variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = nil
        #expect(
            try source(variables, profile: Self.keys) == .keys(AWSCredentials(accessKey: "F", secretKey: "S")))
        #expect(try source(variables) == .container(url: "http://169.254.170.2/v2", token: .text("text")))
        variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = nil
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/pod"
        #expect(
            try source(variables) == .container(url: "http://169.254.170.23/v1/credentials", token: .file("/pod")))
        #expect(try source([:]) == .instance(url: "http://169.254.169.254"))
    }

    @Test(arguments: [
        ["AWS_ACCESS_KEY_ID": "A"], ["AWS_WEB_IDENTITY_TOKEN_FILE": "/t"], ["AWS_PROFILE": "missing"],
        ["AWS_EC2_METADATA_DISABLED": "True"],
        ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://store.example.com/"],
        ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1.example.com/"],
        ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:x@example.com/"],
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@example.com/"],
        ["AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "a", "AWS_ENDPOINT_URL_STS": "http://sts.example.com"],
    ])
    func `refuses what is incomplete, or would send secrets without TLS`(variables: [String: String]) {
        let error = #expect(throws: BackupError.self) { try source(variables) }
        #expect(error?.code == .settings)
    }

    @Test(arguments: ["role_arn = a\nsource_profile = b", "credential_process = p", "sso_session = s"])
    func `names the way to credentials that it does not know`(setting: String) {
        let error = #expect(throws: BackupError.self) { try source([:], profile: "[default]\n\(setting)\n") }
        #expect(error?.code == .settings)
        #expect(error?.message.contains(String(setting.prefix { $0 != " " })) == true)
    }

    @Test func `reads texts of JSON, and nothing that is none`() {
        #expect(
            FlatJSON.texts(#" {"a": "b\n\"\u00e9", "n": -1.5e3, "t": true, "x": null} "#.utf8) == ["a": "b\n\"é"])
        #expect(FlatJSON.texts("{}".utf8) == [:])
        for text in [
            "", "[]", "{", "{\"a\"}", "{\"a\": {}}", "{\"a\": \"b\"} x", "{\"a\": \"b\",}", "{\"a\": \"\\x\"}",
        ] {
            #expect(FlatJSON.texts(text.utf8) == nil, "\(text)")
        }
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func `writes bytes as the RFC's examples do`(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
    }
}
