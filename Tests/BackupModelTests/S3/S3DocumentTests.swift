import Testing

@testable import BackupModel

@Suite struct `Reading what an object store answers` {
    private static let declaration = #"<?xml version="1.0" encoding="UTF-8"?>"#

    @Test func `reads a page of a listing with its folders and the next page's token`() throws {
        let text = """
            \(Self.declaration)
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>2</KeyCount>
              <IsTruncated>true</IsTruncated><NextContinuationToken>1/x&amp;=</NextContinuationToken>
              <Contents><Key>a/&lt;b&gt; &#x26; &#99;</Key><ETag>&quot;e&quot;</ETag><Size>12</Size></Contents>
              <CommonPrefixes><Prefix>a/folder/</Prefix></CommonPrefixes>
              <Contents><Key><![CDATA[a/<c>]]></Key><Size>0</Size></Contents></ListBucketResult>
            """
        let page = try #require(S3ListPage(text.utf8))
        #expect(page.objects.map(\.name) == ["a/<b> & c", "a/<c>"])
        #expect(page.objects.map(\.size) == [12, 0])
        #expect(page.folders == ["a/folder/"])
        #expect(page.next == "1/x&=")
    }

    @Test func `takes a listing that hides its end for no listing`() {
        let head = "<ListBucketResult><IsTruncated>true</IsTruncated>"
        #expect(S3ListPage("\(head)</ListBucketResult>".utf8) == nil)
        #expect(S3ListPage("\(head)<NextContinuationToken/></ListBucketResult>".utf8) == nil)
        #expect(S3ListPage("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>".utf8) == nil)
        #expect(S3ListPage("<ListBucketResult/>".utf8)?.objects.isEmpty == true)
        #expect(S3ListPage("<html/>".utf8) == nil)
    }

    @Test(arguments: [
        "", "<a>", "<a></b>", "<a/><b/>", "<a/>x", "<a>&unknown;</a>", "<a>&#0;</a>", "<a>&amp</a>", "<a b/>",
        "<a b=\"<\"/>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a><?php ?></a>", "<a><!-- </a>", "<a>\u{0}",
        String(repeating: "<a>", count: 40) + String(repeating: "</a>", count: 40),
    ])
    func `reads nothing that is not well-formed`(text: String) {
        #expect(XMLElement.parse(text.utf8) == nil)
    }

    @Test func `reads names without their namespaces, and past comments and attributes`() throws {
        let text = "<!-- a --><s3:A x='1' y=\"2\"> <s3:B>b<!-- < -->c</s3:B> </s3:A><!-- z -->\n"
        let root = try #require(XMLElement.parse(text.utf8))
        #expect(root.name == "A")
        #expect(root["B"] == "bc")
    }

    @Test func `does not read a text that is no UTF-8`() {
        #expect(XMLElement.parse(Array("<a>".utf8) + [0xFF] + Array("</a>".utf8)) == nil)
    }

    @Test func `sees the error in a completed upload whose status said success`() {
        #expect(
            S3CompletedUpload("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>".utf8)
                == .done)
        let failed = S3CompletedUpload("  <Error><Code>InternalError</Code><RequestId>r1</RequestId></Error>".utf8)
        guard case .failed(let error) = failed else {
            Issue.record("\(String(describing: failed)) is not taken for a failure")
            return
        }
        #expect(error.code == "InternalError")
        #expect(error.requestID == "r1")
        #expect(S3CompletedUpload("<CompleteMultipartUploadResult>".utf8) == nil)
        #expect(S3CompletedUpload("\n \(Self.declaration)\n <CompleteMultipartUploadResult/>".utf8) == .done)
    }

    @Test func `names parts and objects so that no name can end the document`() {
        let request = S3CompletedUpload.request([(tag: "\"a\"", checksum: nil), (tag: "<&>", checksum: "c=")])
        let root = XMLElement.parse(request.utf8)
        #expect(root?.all("Part").map { $0["PartNumber"] } == ["1", "2"])
        #expect(root?.all("Part").map { $0["ETag"] } == ["\"a\"", "<&>"])
        #expect(root?.all("Part").last?["ChecksumSHA256"] == "c=")
        let deletion = XMLElement.parse(S3Deletion.request(["a", "b&</Key>"]).utf8)
        #expect(deletion?.all("Object").map { $0["Key"] } == ["a", "b&</Key>"])
        #expect(deletion?["Quiet"] == "true")
    }

    @Test func `tells which objects of a batch stayed`() {
        let text = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        #expect(S3Deletion.failures(text.utf8)?.map(\.name) == ["a"])
        #expect(S3Deletion.failures(text.utf8)?.map(\.error.code) == ["AccessDenied"])
        #expect(S3Deletion.failures("<DeleteResult/>".utf8)?.isEmpty == true)
        #expect(S3Deletion.failures("".utf8) == nil)
    }

    @Test func `reads unfinished uploads page by page`() {
        let text = """
            <ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>
            <NextUploadIdMarker>u</NextUploadIdMarker><Upload><Key>a/b</Key><UploadId>1</UploadId>
            <Initiated>2026-11-21T02:00:00.000Z</Initiated></Upload>
            </ListMultipartUploadsResult>
            """
        let page = S3UploadPage(text.utf8)
        #expect(page?.uploads == [.init(name: "a/b", id: "1", begunAt: Timestamp(codedText: "2026-11-21T02:00:00Z"))])
        #expect(page?.next?.name == "k")
        #expect(page?.next?.id == "u")
        let dated = "<Upload><Key>a</Key><UploadId>1</UploadId><Initiated>2026-11-10T20:48:33.500Z</Initiated></Upload>"
        let begun = S3UploadPage("<ListMultipartUploadsResult>\(dated)</ListMultipartUploadsResult>".utf8)
        #expect(begun?.uploads.first?.begunAt?.description == "2026-11-10T20:48:33.500000Z")
        let answer = "<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"
        #expect(S3BegunUpload.id(answer.utf8) == "7")
        #expect(S3BegunUpload.id("<InitiateMultipartUploadResult/>".utf8) == nil)
        // rclone's, word for word.
        let short = "<InitiateMultipartUpload>\n  <UploadId>b641</UploadId>\n</InitiateMultipartUpload>"
        #expect(S3BegunUpload.id(short.utf8) == "b641")
    }

    @Test func `reads how much of an upload has arrived, and when the last of it came`() {
        let parts = [(8, "2026-11-10T20:48:34Z"), (9, "2026-11-10T21:00:00.000Z"), (1, "2026-11-10T20:59:59+00:00")]
            .map { "<Part><Size>\($0.0)</Size><LastModified>\($0.1)</LastModified></Part>" }.joined()
        let page = S3PartPage(
            """
            <ListPartsResult>\(parts)<IsTruncated>true</IsTruncated><NextPartNumberMarker>3</NextPartNumberMarker>
            </ListPartsResult>
            """.utf8)
        #expect(page?.byteCount == 18)
        #expect(page?.latest == Timestamp(codedText: "2026-11-10T21:00:00Z"))
        #expect(page?.next == "3")
        #expect(S3PartPage("<ListPartsResult/>".utf8)?.byteCount == 0)
        #expect(S3PartPage("<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>".utf8) == nil)
        #expect(S3PartPage("<ListPartsResult><Part/></ListPartsResult>".utf8) == nil)
    }
}
