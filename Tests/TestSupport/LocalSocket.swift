internal import Glibc

/// A TCP socket on this host's loopback address, closed when the last reference goes.
final class LocalSocket: Sendable {
    /// An operation on a socket failed.
    struct Failure: Error, CustomStringConvertible {
        let what: String
        let number: CInt
        var description: String { "\(what): \(unsafe String(cString: strerror(number)))" }
    }

    private let descriptor: CInt

    private init(adopting descriptor: CInt) { self.descriptor = descriptor }

    deinit { Glibc.close(descriptor) }

    /// Listens on a free port.
    static func listening() throws -> LocalSocket {
        let socket = try make()
        var address = address(of: 0)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(socket.descriptor, $0, size)
            }
        }
        guard bound == 0, listen(socket.descriptor, 64) == 0 else { throw Failure(what: "bind", number: errno) }
        return socket
    }

    /// Connects to a port.
    static func connected(to port: UInt16) throws -> LocalSocket {
        let socket = try make()
        var address = address(of: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(socket.descriptor, $0, size)
            }
        }
        guard result == 0 else { throw Failure(what: "connect", number: errno) }
        return socket
    }

    private static func make() throws -> LocalSocket {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(what: "socket", number: errno) }
        return LocalSocket(adopting: descriptor)
    }

    private static func address(of port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
        return address
    }

    /// The port it is bound to.
    var port: UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &size)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    /// The next connection, or `nil` after ``shutDown()``.
    func accept() -> LocalSocket? {
        let accepted = Glibc.accept(descriptor, nil, nil)
        return accepted >= 0 ? LocalSocket(adopting: accepted) : nil
    }

    /// Some bytes, none at the end or after a failure.
    func read(upTo count: Int = 64 << 10) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let length = unsafe recv(descriptor, &bytes, count, 0)
        return length > 0 ? Array(bytes.prefix(length)) : []
    }

    /// Sends all bytes; returns `false` when the other side is gone.
    func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = unsafe Array(rest).withUnsafeBytes { buffer in
                unsafe send(descriptor, buffer.baseAddress, buffer.count, CInt(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    /// Ends it for both sides, and whoever waits in it.
    func shutDown() { shutdown(descriptor, CInt(SHUT_RDWR)) }

    /// Ports that nobody listened on a moment ago.
    static func freePorts(_ count: Int) throws -> [UInt16] {
        let sockets = try (0..<count).map { _ in try listening() }
        return sockets.map(\.port)
    }
}
