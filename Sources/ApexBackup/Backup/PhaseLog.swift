import BackupModel

/// Times the phases of a run on a monotonic clock.
struct PhaseLog {
    let clocks: Clocks
    let events: @Sendable (BackupEvent) -> Void
    private(set) var durations: [PhaseDuration] = []

    init(clocks: Clocks, events: @escaping @Sendable (BackupEvent) -> Void) {
        self.clocks = clocks
        self.events = events
    }

    mutating func measure<Value>(_ name: String, _ body: () async throws -> Value) async throws -> Value {
        events(.phase(name))
        let (value, duration) = try await clocks.timed(body)
        durations.append(PhaseDuration(name: name, seconds: duration.seconds))
        return value
    }
}
