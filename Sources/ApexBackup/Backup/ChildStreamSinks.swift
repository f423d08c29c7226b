import BackupModel
import BackupStorage
import PostgresAccess

extension ChildStreams {
    /// The child's standard input as the end of a chain; finishing it ends the input.
    func takeInput(of command: ChildCommand) -> any ByteSink {
        FileSink(OpenFile(adopting: takeStandardInput(), name: "the input of \(command.name)"), ending: .close)
    }

    /// The child's standard output.
    func takeOutput(of command: ChildCommand) -> OpenFile {
        OpenFile(adopting: takeStandardOutput(), name: "the output of \(command.name)")
    }
}
