import AsyncHTTPClient
import BackupModel
import NIOCore
import NIOHTTP1

/// Asks a URL once and tells the status of the answer.
struct HTTPProbe: Sendable {
    let url: String
    let timeout: Duration

    /// The URL without what may be secret in it: user, password, query and fragment.
    var place: String {
        let path = url.prefix { $0 != "?" && $0 != "#" }
        guard let scheme = path.firstRange(of: "://") else { return String(path) }
        let rest = path[scheme.upperBound...]
        let host = rest.prefix { $0 != "/" }
        let start = host.lastIndex(of: "@").map { rest.index(after: $0) } ?? rest.startIndex
        return "\(path[..<scheme.upperBound])\(rest[start...])"
    }

    /// The status of the first answer: a redirect is not followed, as the page it leads to may be well when what was
    /// asked is not.
    func status() async throws -> Int {
        let limit = TimeAmount.nanoseconds(Int64(timeout.seconds * 1e9))
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: limit, read: limit))
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "user-agent", value: "apex-backup/\(ToolVersion.text)")
        let answer: Result<Int, any Error>
        do {
            answer = .success(Int(try await client.execute(request, timeout: limit).status.code))
        } catch {
            answer = .failure(error)
        }
        // What was asked is answered; a connection that does not close in order takes nothing back.
        _ = try? await client.shutdown()
        do {
            return try answer.get()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw BackupError(
                .restoreFailed, "GET \(place) had no answer.", reason: "\(error)".replacing(url, with: place),
                remedy: "Check that the application runs and uses the restored database.")
        }
    }
}
