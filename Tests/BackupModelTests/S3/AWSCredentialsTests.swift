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
