import BackupModel

/// `RESTORE.md` of a physical backup: how to restore it with bash, coreutils, zstd, sed and awk alone.
///
/// Its text is made of the backup's own values; paths lead from the backup's folder to what is beside it.
struct PhysicalRestoreGuide {
    let id: RunID
    let cluster: String
    let systemIdentifier: String
    let server: ServerFacts
    let record: PhysicalRecord
    /// The bytes of all files.
    let contentBytes: Int64
    /// The artefacts of the backup, without the guide itself.
    let artefacts: [Artefact]

    var text: String {
        let parts = [introduction, "```bash\n\(script.text)\n```", afterwards]
        return parts.joined(separator: "\n\n") + "\n"
    }

    /// The only block that begins with ```` ```bash ````, by which the introduction has it found.
    private var script: PhysicalRestoreScript {
        PhysicalRestoreScript(
            systemIdentifier: systemIdentifier, major: server.major, isOfStandby: server.inRecovery, record: record,
            artefacts: artefacts)
    }

    private var introduction: String {
        let tablespaces = script.linkedTablespaces.map { tablespace in
            "    export \(tablespace.variable)=\(RestoreGuide.shellQuoted(tablespace.location))"
        }
        return """
            # Restoring backup \(id) of '\(cluster)' without apex-backup

            This restores a cluster of PostgreSQL \(server.major), \(record.files) files of \(formatBytes(contentBytes)), into
            a new directory, on which `pg_ctl` starts a server. It takes bash 4.4, zstd, sed, awk, GNU coreutils and
            PostgreSQL \(server.major), and changes nothing in the repository.

            Work in bash in the folder that holds this file, in the repository or a copy of it, as the user who will run
            the server: not root. `../../\(systemIdentifier)/packs` and `../../\(systemIdentifier)/wal` must be there too.
            Say where the data belongs: absolute paths of directories that are empty or do not exist yet.

                export DATA=/srv/postgresql/restored
            \(tablespaces.map { "\($0)\n" }.joined())\(tablespaces.isEmpty ? "" : Self.tablespaceAdvice)
            Then run the commands below. They stop at the first error, and no server starts on what is not complete:

                bash -c "$(sed -n '/^```bash$/,/^```$/{/^```/!p;}' RESTORE.md)"

            What comes out is the cluster as it was when the backup ended, at LSN \(record.stop). After `export UPTO=latest`
            it is the cluster at the end of the WAL that is stored on timeline \(record.timeline).\(damage)
            """
    }

    private static let tablespaceAdvice = """

        The tablespaces were there on the source: name other directories where a server still uses these.

        """

    private var damage: String {
        record.damage == nil
            ? "" : "\n\nThe server found bad pages in its own files when the backup was taken: they are as bad here."
    }

    private var afterwards: String {
        """
        PostgreSQL can now compare every file with the list that the server made of them, and read the WAL:

        ```sh
        pg_verifybackup \(unlisted.map { "-i \($0)" }.joined(separator: " ")) "$DATA"
        ```

        Start the server, and wait until it has recovered:

        ```sh
        pg_ctl -D "$DATA" -w -l "$DATA/restore.log" start
        until [[ $(LC_ALL=C pg_controldata "$DATA") == *'in production'* ]]; do
            pg_ctl -D "$DATA" status >/dev/null || break
            sleep 1
        done
        pg_ctl -D "$DATA" status
        ```

        If it does not start, the end of `restore.log` says which setting does not fit this host. Likely ones are
        `unix_socket_directories`, `ssl` and its files, `shared_preload_libraries`, `shared_buffers`, `listen_addresses`
        and `port`: change them in `postgresql.conf`.\(record.configurationMissing ? Self.missingAdvice : "")

        Text is ordered by the C library or ICU, and indexes may be in another order than theirs if these are of other
        versions than on the source (\(record.collations?.summary ?? "not recorded")). This shows databases where the catalogue
        has another version than the server, and PostgreSQL's documentation of ALTER DATABASE has what to rebuild:

            \(CollationRecord.question);

        The server is a copy that acts on nobody else: the last lines of `postgresql.auto.conf` keep it from archiving,
        from waiting for standbys and from running subscriptions and jobs. If it is to take the place of its source, make
        sure that the source will not run again, remove those lines, see in `*.apex-original` what else was switched off,
        and restart the server. Then take a new backup.
        """
    }

    private static let missingAdvice = """


        The backup lacks configuration files that were outside the data directory. In their place PostgreSQL's own values
        are in force, and `pg_hba.conf` lets in only peers on this host.
        """

    /// What is in the directory but not in the server's list of files, or changed, or not needed.
    private var unlisted: [String] {
        let settings = ["postgresql.conf", "postgresql.auto.conf"]
        return settings + (settings + ["pg_hba.conf", "pg_ident.conf"]).map { "\($0).apex-original" }
            + ["pg_hba.conf", "pg_ident.conf", "tablespace_map", "restore.log"]
    }
}
