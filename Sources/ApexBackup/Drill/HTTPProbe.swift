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

    func status() async throws -> Int {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "user-agent", value: "apex-backup/\(ToolVersion.text)")
        do {
            let response = try await HTTPClient.shared.execute(
                request, timeout: .nanoseconds(Int64(timeout.seconds * 1e9)))
            return Int(response.status.code)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw BackupError(
                .restoreFailed, "GET \(place) had no answer.", reason: "\(error)".replacing(url, with: place),
                remedy: "Check that the application runs and uses the restored database.")
        }
    }
}
