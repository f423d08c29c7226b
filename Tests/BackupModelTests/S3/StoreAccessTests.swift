import Testing

@testable import BackupModel

@Suite struct `Reaching a store without this environment` {
    private let keys = "aws_access_key_id = AKID\naws_secret_access_key = hunter2\n"

    private func access(
        _ variables: [String: String], _ settings: S3StoreSettings = .init(), files: SharedAWSFiles = .init()
    ) throws -> StoreAccess {
        try StoreAccess(to: "bucket", settings: settings, variables: variables, files: files)
    }

    private func files(configuration: String = "", credentials: String = "") -> SharedAWSFiles {
        var files = SharedAWSFiles()
        files.add(configuration: configuration)
        files.add(credentials: credentials)
        if !configuration.isEmpty { files.places["AWS_CONFIG_FILE"] = "/home/a b/.aws/config" }
        if !credentials.isEmpty { files.places["AWS_SHARED_CREDENTIALS_FILE"] = "/home/a b/.aws/credentials" }
        return files
    }

    @Test func `needs secrets of the environment by their names, and hands on none of them`() throws {
        let found = try access(
            ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_PROFILE": "", "HOME": "/root"])
        #expect(found.credentials == "the environment")
        #expect(found.needed == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
        #expect(found.variables == ["AWS_REGION": "us-east-1"])
        let expiring = try access([
            "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "t0ken",
        ])
        #expect(expiring.needed == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
        #expect(!"\(expiring)".contains("hunter2") && !"\(expiring)".contains("t0ken"))
    }

    @Test func `names the profile, and the files that are there, wherever the home is`() throws {
        let both = files(configuration: "[profile nightly]\nregion = eu-1\n", credentials: "[nightly]\n\(keys)")
        let found = try access(["AWS_PROFILE": "nightly", "HOME": "/home/a b"], files: both)
        #expect(
            found.credentials
                == "the profile 'nightly' in '/home/a b/.aws/config' and '/home/a b/.aws/credentials'")
        #expect(
            found.variables == [
                "AWS_PROFILE": "nightly", "AWS_REGION": "eu-1", "AWS_CONFIG_FILE": "/home/a b/.aws/config",
                "AWS_SHARED_CREDENTIALS_FILE": "/home/a b/.aws/credentials",
            ])
        #expect(found.needed == [])
        let one = try access([:], files: files(credentials: "[default]\n\(keys)"))
        #expect(one.credentials == "the profile 'default' in '/home/a b/.aws/credentials'")
        #expect(one.variables["AWS_CONFIG_FILE"] == nil)
        #expect(one.variables["AWS_PROFILE"] == nil)
    }

    @Test func `hands on where the store is, unless the policy says that`() throws {
        let variables = [
            "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_DEFAULT_REGION": "eu-2",
            "AWS_ENDPOINT_URL": "https://store.example.com", "AWS_CA_BUNDLE": "/etc/ca.pem",
        ]
        #expect(
            try access(variables).variables == [
                "AWS_REGION": "eu-2", "AWS_ENDPOINT_URL_S3": "https://store.example.com",
                "AWS_CA_BUNDLE": "/etc/ca.pem",
            ])
        var settings = S3StoreSettings()
        settings.region = "eu-3"
        settings.endpoint = "https://other.example.com"
        settings.caFile = "/etc/other.pem"
        #expect(try access(variables, settings).variables == [:])
    }

    @Test func `hands on how a role is taken on, or who gives credentials to a container or machine`() throws {
        let role = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/backup",
            "AWS_REGION": "eu-1",
        ]
        let identity = try access(role)
        #expect(identity.credentials == "STS, for the role arn:aws:iam::1:role/backup by the token in '/var/run/token'")
        #expect(identity.variables == role)
        #expect(identity.needed == [])

        let pod = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/pod-token", "AWS_REGION": "eu-1",
        ]
        #expect(try access(pod).variables == pod)
        #expect(try access(pod).needed == [])
        let task = try access(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"])
        #expect(task.needed == ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
        #expect(task.variables == ["AWS_REGION": "us-east-1"])
        #expect(task.credentials == "the container's host")

        let machine = try access(["AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"])
        #expect(machine.credentials == "the machine's metadata service")
        #expect(machine.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] == "http://127.0.0.1:1")
        #expect(throws: BackupError.self) { try access(["AWS_EC2_METADATA_DISABLED": "true"]) }
    }
}
