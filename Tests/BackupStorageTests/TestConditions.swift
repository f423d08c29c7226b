import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For tests that talk to real object stores.
    static var needsObjectStores: Self {
        .enabled(if: ObjectStore.areInstalled, "SeaweedFS or rclone is missing: scripts/test fetches them")
    }

    /// For tests that talk to Ceph.
    static var needsCeph: Self {
        .enabled(
            if: PostgresCluster.isFullRun && ObjectStore.isCephInstalled,
            "Ceph is started by scripts/test --full, which installs it")
    }
}
