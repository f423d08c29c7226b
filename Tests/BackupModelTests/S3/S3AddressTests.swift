import Testing

@testable import BackupModel

@Suite struct `Addressing an object store` {
    @Test(arguments: [
        ("s3://bucket", "bucket", nil), ("s3://bucket/", "bucket", nil),
        ("s3://my.bucket-1/apex", "my.bucket-1", "apex"),
        ("s3://bucket/a/b/", "bucket", "a/b"),
    ])
    func `reads bucket and prefix`(address: String, bucket: String, prefix: String?) throws {
        let location = try #require(S3Location(parsing: address))
        #expect(location.bucket == bucket)
        #expect(location.prefix?.text == prefix)
        let key = ObjectKey("clusters/apex")
        #expect(location.name(of: key) == (prefix.map { "\($0)/" } ?? "") + "clusters/apex")
        #expect(location.key(ofName: location.name(of: key)) == key)
    }

    @Test(arguments: [
        "", "s3:", "s3://", "s3://b", "s3:///a", "s3://bucket//a", "s3://bucket/a//b", "s3://bucket/../a", "s3://a..b",
        "s3://bucket/a?b", "s3://bucket/a%20b", "s3://user@bucket/a", "s3://bucket/.claims", "S3://bucket", "file:///a",
    ])
    func `takes nothing else for an address`(address: String) {
        #expect(S3Location(parsing: address) == nil)
    }

    @Test func `knows no object outside its prefix`() throws {
        let location = try #require(S3Location(parsing: "s3://bucket/apex"))
        for name in ["apex_test/a", "a", "apex", "apex/", "apex/../a"] { #expect(location.key(ofName: name) == nil) }
    }

    @Test func `goes to AWS with the bucket in the host`() throws {
        let endpoint = try S3Endpoint(bucket: "bucket", settings: .init(), variables: ["AWS_REGION": "eu-central-1"])
        #expect(endpoint.base == "https://bucket.s3.eu-central-1.amazonaws.com")
        #expect(endpoint.path(of: "a b/ü+") == "/a%20b/%C3%BC%2B")
        #expect(endpoint.path(of: nil) == "/")
        let dotted = try S3Endpoint(bucket: "my.bucket", settings: .init())
        #expect(dotted.base == "https://s3.us-east-1.amazonaws.com")
        #expect(dotted.path(of: "a") == "/my.bucket/a")
    }

    @Test func `goes to another store with the bucket in the path, unless told otherwise`() throws {
        var settings = S3StoreSettings()
        settings.endpoint = "https://Store.example.com:443/"
        let endpoint = try S3Endpoint(
            bucket: "bucket", settings: settings, variables: ["AWS_ENDPOINT_URL_S3": "https://other.example.com"])
        #expect(endpoint.base == "https://store.example.com")
        #expect(endpoint.path(of: "a") == "/bucket/a")
        #expect(endpoint.path(of: nil) == "/bucket")
        settings.pathStyle = false
        #expect(try S3Endpoint(bucket: "bucket", settings: settings).host == "bucket.store.example.com")
        let named = try S3Endpoint(
            bucket: "bucket", settings: .init(), profile: ["endpoint_url": "https://h:9000", "region": "r"])
        #expect(named.base == "https://h:9000")
        #expect(named.region == "r")
    }

    @Test func `refuses plain HTTP that no policy allows`() throws {
        var settings = S3StoreSettings()
        settings.endpoint = "http://127.0.0.1:9000"
        let refused = #expect(throws: BackupError.self) { try S3Endpoint(bucket: "bucket", settings: settings) }
        #expect(refused?.code == .settings)
        settings.allowsPlainHTTP = true
        #expect(try S3Endpoint(bucket: "bucket", settings: settings).base == "http://127.0.0.1:9000")
    }

    @Test(arguments: [
        "store.example.com", "ftp://a", "https://", "https://user:secret@h", "https://h/path", "https://h?a",
    ])
    func `refuses an endpoint that is none, and does not repeat it`(endpoint: String) {
        var settings = S3StoreSettings()
        settings.endpoint = endpoint
        let refused = #expect(throws: BackupError.self) { try S3Endpoint(bucket: "bucket", settings: settings) }
        #expect(refused?.code == .settings)
        #expect(refused.map { "\($0)".contains("secret") } == false)
    }
}
