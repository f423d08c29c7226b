import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For tests that take base backups.
    static var needsPhysicalBackups: Self {
        .enabled("base backups are streamed since PostgreSQL 15, and the server to test with is older") {
            try await PostgresCluster.takesPhysicalBackups
        }
    }

    /// For tests that talk to a real object store.
    static var needsObjectStores: Self {
        .enabled(if: ObjectStore.areInstalled, "SeaweedFS or rclone is missing: scripts/test fetches them")
    }

    /// For tests that take minutes or gigabytes.
    static var needsFullRun: Self {
        .enabled(if: PostgresCluster.isFullRun, "it is long: scripts/test --full runs it")
    }
}
