import BackupModel
import TestSupport
import Testing

@testable import BackupStorage

@Suite(.timeLimit(.minutes(10))) struct `Getting credentials` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// What hands out credentials, as JSON, for so many seconds; and the credentials of a program that asks it.
    private func json(expiresIn seconds: Int64, code: String = "Success") -> String {
        """
        {"Code": "\(code)", "AccessKeyId": "AKID", "SecretAccessKey": "s3cret/+", "Token": "t0ken",
         "Expiration": "\(ObjectStore.now().advanced(by: .seconds(seconds)))"}
        """
    }

    private func credentials(_ variables: [String: String]) -> S3Credentials {
        S3Credentials(environment: .of(variables), region: "eu-1")
    }

    @Test func `asks the container's host with the token of a file, once for as long as they are valid`() async throws {
        try directory.write(Array("pod-token\n".utf8), to: "token")
        let body = json(expiresIn: 3600)
        let host = try FaultProxy { _ in .answer("200 OK", body: body) }
        let credentials = credentials([
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(host.endpoint)/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": directory.path(of: "token"),
        ])
        try await onThread { () throws in
            for _ in 0..<3 {
                let found = try credentials.current()
                #expect(found.accessKey == "AKID")
                #expect(found.secretKey == "s3cret/+")
                #expect(found.sessionToken == "t0ken")
            }
        }
        #expect(host.requests.map(\.target) == ["/v1/credentials"])
        #expect(host.requests.first?.headers["authorization"] == "pod-token")
    }

    @Test func `renews what expires soon, and uses what is still valid while nobody hands out new ones`() async throws {
        let (soon, later) = (json(expiresIn: 120), json(expiresIn: 3600))
        let host = try FaultProxy { request in
            switch request.number {
            case 0: .answer("200 OK", body: soon)
            case 1: .answer("403 Forbidden")
            default: .answer("200 OK", body: later)
            }
        }
        let credentials = credentials(["AWS_CONTAINER_CREDENTIALS_FULL_URI": host.endpoint])
        try await onThread { () throws in
            #expect(try credentials.current().accessKey == "AKID")
            #expect(try credentials.current().accessKey == "AKID", "a renewal that fails loses nothing")
            #expect(try credentials.current().accessKey == "AKID")
            #expect(host.requests.count == 2, "what failed is not tried again at once")
            credentials.renew()
            _ = try credentials.current()
            _ = try credentials.current()
            #expect(host.requests.count == 3)
        }
    }

    @Test func `asks the metadata service of a machine with a token of its own`() async throws {
        let body = json(expiresIn: 3600)
        let service = try FaultProxy { request in
            switch (request.method, request.target) {
            case ("PUT", "/latest/api/token"): .answer("200 OK", body: "imds-token")
            case ("GET", "/latest/meta-data/iam/security-credentials/"): .answer("200 OK", body: "backup-role\n")
            case ("GET", "/latest/meta-data/iam/security-credentials/backup-role"): .answer("200 OK", body: body)
            default: .answer("404 Not Found")
            }
        }
        let credentials = credentials(["AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint])
        try await onThread { () throws in #expect(try credentials.current().sessionToken == "t0ken") }
        let requests = service.requests
        #expect(requests.count == 3)
        #expect(requests.first?.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600")
        #expect(requests.dropFirst().allSatisfy { $0.headers["x-aws-ec2-metadata-token"] == "imds-token" })
    }

    @Test func `takes on a role by the token of a service account`() async throws {
        try directory.write(Array("web.identity&token".utf8), to: "token")
        let answer = """
            <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId>
              <SecretAccessKey>sts</SecretAccessKey><SessionToken>session</SessionToken>
              <Expiration>\(ObjectStore.now().advanced(by: .seconds(3600)))</Expiration></Credentials>
              </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
            """
        let sts = try FaultProxy { _ in .answer("200 OK", body: answer) }
        let credentials = credentials([
            "AWS_WEB_IDENTITY_TOKEN_FILE": directory.path(of: "token"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/backup",
            "AWS_ENDPOINT_URL_STS": sts.endpoint,
        ])
        try await onThread { () throws in
            let found = try credentials.current()
            #expect(found.accessKey == "ASIA" && found.sessionToken == "session" && found.expiry != nil)
        }
        let body = try #require(sts.requests.first?.body)
        #expect(
            body == "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fbackup"
                + "&RoleSessionName=apex-backup&Version=2011-06-15&WebIdentityToken=web.identity%26token")
        #expect(sts.requests.first?.method == "POST")
    }

    @Test func `says why there are none, and nothing that is secret`() async throws {
        try directory.write(Array("web-identity-token".utf8), to: "token")
        let refusal = """
            <ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized</Message></Error>
            </ErrorResponse>
            """
        let sts = try FaultProxy { _ in .answer("403 Forbidden", body: refusal) }
        let refused = credentials([
            "AWS_WEB_IDENTITY_TOKEN_FILE": directory.path(of: "token"), "AWS_ROLE_ARN": "arn",
            "AWS_ENDPOINT_URL_STS": sts.endpoint,
        ])
        let nothing = credentials(["AWS_EC2_METADATA_DISABLED": "true"])
        try await onThread { () throws in
            let error = #expect(throws: BackupError.self) { try refused.current() }
            #expect(error?.code == .authenticationFailed)
            #expect(error?.reason == "it answered 403 AccessDenied: Not authorized")
            #expect(error.map { "\($0)".contains("web-identity-token") } == false)
            #expect(sts.requests.count == 1, "what is refused is not asked for again")
            #expect(throws: BackupError.self) { try nothing.current() }
        }
    }

    @Test func `reads the shared files that the environment names`() async throws {
        try directory.write(Array("[profile nightly]\nregion = r\n".utf8), to: "config")
        try directory.write(
            Array("[nightly]\naws_access_key_id = A\naws_secret_access_key = S\n".utf8), to: "credentials")
        let found = try credentials([
            "AWS_PROFILE": "nightly", "AWS_CONFIG_FILE": directory.path(of: "config"),
            "AWS_SHARED_CREDENTIALS_FILE": directory.path(of: "credentials"),
        ]).current()
        #expect(found == AWSCredentials(accessKey: "A", secretKey: "S"))
        try directory.write(
            Array("[default]\naws_access_key_id = H\naws_secret_access_key = S\n".utf8), to: ".aws/credentials")
        #expect(try credentials(["HOME": directory.path]).current().accessKey == "H")
    }
}
