import BackupModel
import BackupStorage
import Testing

/// The vectors are AWS's own: its Signature Version 4 test suite, and the examples of the S3 manual.
@Suite struct `Signing a request` {
    private static let empty = SHA256.digest(of: [UInt8]().span).description
    private static let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    struct Vector: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var method = "GET"
        var path = "/"
        var query: [(name: String, value: String)] = []
        var headers: [(name: String, value: String)] = []
        var body = ""
        var signedHeaders = "host;x-amz-date"
        let signature: String
    }

    private func authorization(
        _ vector: Vector, host: String, date: Timestamp, service: String, credentials: AWSCredentials,
        signsPayload: Bool
    ) -> String {
        let payload = SHA256.digest(of: Array(vector.body.utf8).span).description
        let headers =
            [("Host", host), ("X-Amz-Date", date.compact)] + vector.headers
            + (signsPayload ? [("x-amz-content-sha256", payload)] : [])
        return SignatureV4(region: "us-east-1", service: service).authorization(
            of: .init(
                method: vector.method, path: vector.path, query: vector.query, headers: headers, payload: payload),
            with: credentials, at: date)
    }

    @Test(arguments: [
        Vector(
            testDescription: "get-vanilla",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            testDescription: "get-vanilla-query-order-key-case", query: [("Param2", "value2"), ("Param1", "value1")],
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        Vector(
            testDescription: "get-vanilla-query-unreserved", query: [(unreserved, unreserved)],
            signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        Vector(
            testDescription: "get-utf8", path: "/" + PercentEncoding.encode("ሴ"),
            signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        Vector(
            testDescription: "get-space", path: PercentEncoding.encode("/example space/", keepingSlashes: true),
            signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        Vector(
            testDescription: "get-header-value-trim",
            headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            signedHeaders: "host;my-header1;my-header2;x-amz-date",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        Vector(
            testDescription: "post-vanilla", method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        Vector(
            testDescription: "post-vanilla-query", method: "POST", query: [("Param1", "value1")],
            signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ])
    func `agrees with AWS's test suite`(vector: Vector) {
        let date = Timestamp(microseconds: 1_440_938_160_000_000)
        let authorization = authorization(
            vector, host: "example.amazonaws.com", date: date, service: "service",
            credentials: AWSCredentials(
                accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            signsPayload: false)
        #expect(
            authorization == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=\(vector.signedHeaders), Signature=\(vector.signature)")
    }

    @Test(arguments: [
        Vector(
            testDescription: "GET Object", path: "/test.txt", headers: [("Range", "bytes=0-9")],
            signedHeaders: "host;range;x-amz-content-sha256;x-amz-date",
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        Vector(
            testDescription: "PUT Object", method: "PUT", path: "/" + PercentEncoding.encode("test$file.text"),
            headers: [
                ("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            body: "Welcome to Amazon S3.",
            signedHeaders: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        Vector(
            testDescription: "GET Bucket Lifecycle", query: [("lifecycle", "")],
            signedHeaders: "host;x-amz-content-sha256;x-amz-date",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        Vector(
            testDescription: "List Objects", query: [("prefix", "J"), ("max-keys", "2")],
            signedHeaders: "host;x-amz-content-sha256;x-amz-date",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ])
    func `agrees with the examples of the S3 manual`(vector: Vector) {
        let date = Timestamp(microseconds: 1_369_353_600_000_000)
        let authorization = authorization(
            vector, host: "examplebucket.s3.amazonaws.com", date: date, service: "s3",
            credentials: AWSCredentials(
                accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            signsPayload: true)
        #expect(
            authorization == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                + "SignedHeaders=\(vector.signedHeaders), Signature=\(vector.signature)")
    }

    @Test func `has the canonical request of the test suite`() {
        let request = SignatureV4.Request(
            method: "GET", path: "/", headers: [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
            payload: Self.empty)
        let canonical = """
            GET
            /

            host:example.amazonaws.com
            x-amz-date:20150830T123600Z

            host;x-amz-date
            \(Self.empty)
            """
        #expect(SignatureV4.canonicalRequest(request) == canonical)
        #expect(
            SignatureV4(region: "us-east-1", service: "service").stringToSign(
                of: request, at: Timestamp(microseconds: 1_440_938_160_000_000)) == """
                    AWS4-HMAC-SHA256
                    20150830T123600Z
                    20150830/us-east-1/service/aws4_request
                    bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63
                    """)
    }
}
