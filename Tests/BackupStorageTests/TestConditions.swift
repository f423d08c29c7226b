import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For tests that talk to real object stores.
    static var needsObjectStores: Self {
        .enabled(if: ObjectStore.areInstalled, "SeaweedFS or rclone is missing: scripts/test fetches them")
    }
}
