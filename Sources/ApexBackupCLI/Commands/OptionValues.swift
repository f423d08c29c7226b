public import ArgumentParser
public import BackupModel

extension DumpFormat: ExpressibleByArgument {}
extension BackupPolicy.LogicalSettings.DumpVerification: ExpressibleByArgument {}
extension BackupPolicy.LogicalSettings.RowCounts: ExpressibleByArgument {}

extension Compression: ExpressibleByArgument {
    /// Reads the text form.
    public init?(argument: String) { self.init(parsing: argument) }
}
