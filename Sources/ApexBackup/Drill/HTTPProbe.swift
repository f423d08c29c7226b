import AsyncHTTPClient
import BackupModel
import NIOCore
import NIOHTTP1

/// Asks a URL once and tells the status of the answer.
struct HTTPProbe: Sendable {
    let url: String
    let timeout: Duration

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
                .restoreFailed, "GET \(url) had no answer.", reason: "\(error)",
                remedy: "Check that the application runs and uses the restored database.")
        }
    }
}
