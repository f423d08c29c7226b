import Dispatch
internal import Synchronization

/// Takes connections as a PostgreSQL server does that asks for no password, and then says nothing.
package final class SilentServer: Sendable {
    private let listener: LocalSocket
    private let open = Mutex<[LocalSocket]>([])

    /// Listens on a free port.
    package init() throws {
        listener = try LocalSocket.listening()
        // Only what the loop needs: it must not keep the server alive.
        let listener = listener
        DispatchQueue(label: "apex-backup.tests.silent").async { [weak self] in
            while let client = listener.accept() {
                guard let self else { return }
                open.withLock { $0.append(client) }
                _ = client.read()
                _ = client.write(Self.welcome)
            }
        }
    }

    deinit { listener.shutDown() }

    package var url: String {
        "postgresql://postgres@127.0.0.1:\(listener.port)/postgres?sslmode=disable&gssencmode=disable"
    }

    /// AuthenticationOk, ParameterStatus, BackendKeyData and ReadyForQuery.
    private static let welcome: [UInt8] =
        message("R", [0, 0, 0, 0]) + message("S", Array("server_version\0".utf8) + Array("17.0\0".utf8))
        + message("K", [0, 0, 0, 42, 0, 0, 0, 7]) + message("Z", Array("I".utf8))

    private static func message(_ type: String, _ content: [UInt8]) -> [UInt8] {
        Array(type.utf8) + [0, 0, 0, UInt8(content.count + 4)] + content
    }
}
