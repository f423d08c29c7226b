import BackupModel
import PostgresAccess

extension RecoveredTables {
    /// Something that comes into the new schema and has a name there.
    private struct Part: Sendable {
        var oid: String
        /// As `ALTER` calls it.
        var kind: String
        var schema: String
        var name: String
        /// Whether it is moved by itself; what belongs to a table is moved with that.
        var isMoved: Bool

        init(_ row: [String?]) throws {
            guard let oid = row[0], let kind = row[1], let schema = row[2], let name = row[3] else {
                throw unexpectedAnswer("what belongs to its tables")
            }
            (self.oid, self.kind, self.schema, self.name, isMoved) = (oid, kind, schema, name, row[4] == "t")
        }

        /// A name that nothing else has.
        var interim: String { "apex-backup \(oid)" }
    }

    /// Moves all of it into the new schema `schema`, which `owner` owns; returns what is called otherwise there.
    ///
    /// What comes from several schemas may have the same names: the chosen tables keep theirs.
    func move(into schema: String, of owner: String, in session: PostgresSession) async throws -> [String] {
        try await session.execute(
            "CREATE SCHEMA \(quoteIdentifier(schema)) AUTHORIZATION \(quoteIdentifier(owner))")
        let statistics = try await session.query(Self.statisticsQuery, [oids])
        let relations = try await session.query(
            Self.relationsQuery, [named.oidArray, oids, sequences.oidArray, ownSequences.oidArray])
        return try await move(try statistics.rows.map(Part.init), into: schema, in: session)
            + move(try relations.rows.map(Part.init), into: schema, in: session)
    }

    /// What is to have another name has one of its own meanwhile: neither schema need have the old or the new one free.
    private func move(_ parts: [Part], into schema: String, in session: PostgresSession) async throws -> [String] {
        let new = quoteIdentifier(schema)
        var remarks: [String] = []
        var renamed: [(part: Part, name: String)] = []
        for (part, name) in zip(parts, RestoredSchema.distinct(parts.map(\.name))) where name != part.name {
            renamed.append((part, name))
            remarks.append(
                "the \(part.kind.lowercased()) \(part.schema).\(part.name) is called '\(name)' in the new schema, where "
                    + "another one has its name")
        }
        let interim = Set(renamed.map(\.part.oid))
        for (part, _) in renamed {
            try await session.execute(
                "ALTER \(part.kind) \(quoteIdentifier(part.schema)).\(quoteIdentifier(part.name)) RENAME TO "
                    + quoteIdentifier(part.interim))
        }
        for part in parts where part.isMoved {
            let name = interim.contains(part.oid) ? part.interim : part.name
            try await session.execute(
                "ALTER \(part.kind) \(quoteIdentifier(part.schema)).\(quoteIdentifier(name)) SET SCHEMA \(new)")
        }
        for (part, name) in renamed {
            try await session.execute(
                "ALTER \(part.kind) \(new).\(quoteIdentifier(part.interim)) RENAME TO \(quoteIdentifier(name))")
        }
        return remarks
    }

    private static let statisticsQuery = """
        SELECT s.oid, 'STATISTICS', n.nspname, s.stxname, true
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE s.stxrelid = ANY ($1::oid[]) ORDER BY n.nspname, s.stxname
        """

    /// The chosen tables, their partitions, sequences that are moved by themselves, those of columns, and indexes.
    private static let relationsQuery = """
        SELECT c.oid, CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' WHEN c.relkind IN ('i', 'I') THEN 'INDEX' ELSE 'TABLE' END,
            n.nspname, c.relname, c.oid = ANY ($2::oid[]) OR c.oid = ANY ($3::oid[])
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = ANY ($2::oid[]) OR c.oid = ANY ($3::oid[]) OR c.oid = ANY ($4::oid[])
            OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($2::oid[]))
        ORDER BY CASE WHEN c.oid = ANY ($1::oid[]) THEN 0 WHEN c.oid = ANY ($2::oid[]) THEN 1
            WHEN c.oid = ANY ($3::oid[]) THEN 2 WHEN c.relkind = 'S' THEN 3 ELSE 4 END, n.nspname, c.relname
        """
}
