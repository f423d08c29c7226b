import Dispatch

/// Runs what blocks on a thread of its own: Swift's few threads are for tasks that do not.
package func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue(label: "apex-backup.tests.thread").async {
            continuation.resume(with: Result { try body() })
        }
    }
}

/// Waits until `condition` holds, for at most two minutes; returns whether it came to hold.
package func eventually(_ condition: () async throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        // In a task of its own: in one that was cancelled there would be no pause.
        await Task { try? await Task.sleep(for: .milliseconds(5)) }.value
    }
    return false
}
