extension DrillPolicy {
    /// How far a policy may set a setting that isolates a drill's server.
    package enum Isolation: Sendable, Hashable {
        /// Only to this value.
        case only(String)
        /// Not at all.
        case never
    }
}

extension DrillPolicy.Target {
    /// How far a policy may set the setting `name` of a server of this origin, or `nil` if it may freely.
    ///
    /// What isolates the drill's server is set by the drill whatever a policy says; how much memory it takes is the
    /// policy's to say.
    package static func isolation(
        ofSetting name: String, origin: OverlaySetting.Origin
    ) -> DrillPolicy.Isolation? {
        guard let setting = OverlaySetting.all.first(where: { $0.name == name && $0.origins.contains(origin) }),
            setting.value != .sharedBuffers
        else { return nil }
        guard case .text(let value) = setting.value, !value.isEmpty else { return .never }
        return .only(value)
    }
}
