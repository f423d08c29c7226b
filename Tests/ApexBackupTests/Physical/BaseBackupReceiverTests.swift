import BackupModel
import PostgresAccess
import Testing

@testable import ApexBackup

/// What a server may send that is no base backup.
@Suite struct `The stream of a base backup` {
    private let pieces = BoundedQueue<FramePiece>(limit: 4)
    private let contents = BoundedQueue<BackupContent>(limit: 4)

    private var receiver: BaseBackupReceiver {
        BaseBackupReceiver(pieces: pieces, contents: contents, environment: BackupEnvironment())
    }

    private func archive(_ name: String) -> [UInt8] { Array("n\(name)\0\0".utf8) }

    private func reason(_ messages: [[UInt8]]) -> String? {
        let receiver = receiver
        do throws(BackupError) {
            for message in messages { try receiver.receive(message.span) }
            _ = try receiver.finish()
            return nil
        } catch {
            return error.reason ?? error.message
        }
    }

    @Test func `is refused when it is not whole, or not one`() {
        let data = [UInt8(ascii: "d")] + [UInt8](repeating: 1, count: 100)
        let end = [UInt8(ascii: "d")] + [UInt8](repeating: 0, count: 1024)
        #expect(reason([archive("base.tar"), data]) == "one of its archives breaks off")
        #expect(reason([archive("base.tar"), data, archive("16400.tar")]) == "one of its archives breaks off")
        #expect(reason([data]) == "it has content outside its archives")
        #expect(reason([archive("base.tar"), end]) == "its backup_label is missing")
        #expect(reason([archive("odd.tar")])?.contains("unknown name 'odd.tar'") == true)
        #expect(reason([archive("base.zip")])?.contains("unknown name 'base.zip'") == true)
    }

    @Test func `ends when nobody stores it any more`() {
        contents.abandon()
        #expect(reason([[UInt8(ascii: "m")], [UInt8(ascii: "d"), 1]])?.contains("stored no more") == true)
    }
}
