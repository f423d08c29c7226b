import Dispatch

/// Runs what blocks on a thread of its own: Swift's few threads are for tasks that do not.
package func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue(label: "apex-backup.tests.thread").async {
            continuation.resume(with: Result { try body() })
        }
    }
}

/// Waits until `condition` holds; returns whether it came to hold.
///
/// It is given up after two minutes, of which a look at it counts for a second at most however long it took: when all
/// tests begin at once, or the host stands still, minutes may pass in which there was hardly a look.
package func eventually(_ condition: () async throws -> Bool) async rethrows -> Bool {
    var waited = Duration.zero
    while waited < .seconds(120) {
        let start = ContinuousClock.now
        if try await condition() { return true }
        // In a task of its own: in one that was cancelled there would be no pause.
        await Task { try? await Task.sleep(for: .milliseconds(5)) }.value
        waited += min(ContinuousClock.now - start, .seconds(1))
    }
    return false
}
