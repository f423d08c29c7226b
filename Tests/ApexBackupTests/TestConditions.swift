import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For tests that take base backups.
    static var needsPhysicalBackups: Self {
        .enabled("base backups are streamed since PostgreSQL 15, and the server to test with is older") {
            try await PostgresCluster.takesPhysicalBackups
        }
    }
}
