import BackupModel
import PostgresAccess

/// The tables of a recovered database that were asked for, and all that comes along with them.
///
/// The database is there for this alone: it is changed at will, so that what a dump of it holds is what a target can
/// take.
struct RecoveredTables: Sendable {
    /// The tables as they were asked for.
    let named: [RecoveredRelation]
    /// They and their partitions.
    private(set) var relations: [RecoveredRelation]
    /// Sequences that give their columns values and belong to none of them.
    private(set) var sequences: [RecoveredRelation] = []
    /// Sequences that belong to columns of theirs.
    private(set) var ownSequences: [RecoveredRelation] = []
    /// What does not come along, and why; and what else is to be known.
    private(set) var remarks: [String] = []

    /// The tables called `names`.
    init(named names: [String], in session: PostgresSession) async throws {
        let all = try await session.relations(where: "c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')")
        let named = try all.tables(named: names)
        let tree = Set(
            try await session.query(
                """
                SELECT DISTINCT t.relid::oid FROM unnest($1::oid[]) AS root (oid)
                CROSS JOIN LATERAL pg_partition_tree(root.oid::regclass) AS t
                """, [named.oidArray]
            ).rows.compactMap { $0[0] })
        self.named = named
        relations = named + all.filter { tree.contains("\($0.oid)") && !named.contains($0) }
    }

    /// What has to be brought along, by their object identifiers in PostgreSQL's text form.
    var oids: String { relations.oidArray }
    var oidsWithSequences: String { (relations + sequences).oidArray }
    /// With what has rights of its own: the sequences of columns have, and no owner but that of their table.
    var oidsWithRights: String { (relations + sequences + ownSequences).oidArray }

    /// Takes away what joins the tables to others, and says so.
    mutating func separate(in session: PostgresSession) async throws {
        // A key that refers to a table keeps its partitions in it; those that partitions have from it become their own.
        try await dropForeignKeys(in: session)
        try await dropKeysOfOthers(in: session)
        try await leaveParents(in: session)
        try await dropForeignKeys(in: session)
        try await takeSequences(in: session)
        try await noteWhatIsLost(in: session)
    }

    /// Partitions whose table was not chosen become tables by themselves, and so do tables that inherit from others.
    ///
    /// Partitions on other servers stay where they are.
    private mutating func leaveParents(in session: PostgresSession) async throws {
        let joints = try await session.query(
            """
            SELECT format('%I.%I', pn.nspname, p.relname), format('%I.%I', cn.nspname, c.relname),
                c.relispartition, c.relkind = 'f', c.oid
            FROM pg_inherits i
            JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
            JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
            WHERE c.oid = ANY ($1::oid[])
                AND (p.oid <> ALL ($1::oid[]) OR (c.relkind = 'f' AND c.relispartition))
            ORDER BY 2, 1
            """, [oids])
        for row in joints.rows {
            guard let parent = row[0], let child = row[1] else { continue }
            if row[2] == "t" {
                try await session.execute("ALTER TABLE \(parent) DETACH PARTITION \(child)")
            } else {
                try await session.execute("ALTER TABLE \(child) NO INHERIT \(parent)")
            }
            if row[3] == "t" {
                relations.removeAll { "\($0.oid)" == row[4] }
                remarks.append("the partition \(child) of \(parent) is left out: its rows are on another server")
            } else {
                remarks.append("\(child) comes without \(parent), which it is a part of and which is not chosen")
            }
        }
        let children = try await session.query(
            """
            SELECT format('%I.%I', n.nspname, c.relname)
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE i.inhparent = ANY ($1::oid[]) AND c.oid <> ALL ($1::oid[]) AND NOT c.relispartition ORDER BY 1
            """, [oids])
        remarks += children.rows.compactMap { $0[0] }.map {
            "\($0) inherits from a chosen table and is not chosen: its rows are left out"
        }
    }

    private mutating func dropForeignKeys(in session: PostgresSession) async throws {
        let keys = try await session.query(
            """
            SELECT format('%I.%I', n.nspname, c.relname), k.conname, format('%I.%I', rn.nspname, r.relname)
            FROM pg_constraint k
            JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
            WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ($1::oid[])
                AND k.confrelid <> ALL ($1::oid[])
            ORDER BY 1, 2
            """, [oids])
        for row in keys.rows {
            guard let table = row[0], let name = row[1], let other = row[2] else { continue }
            try await session.execute("ALTER TABLE \(table) DROP CONSTRAINT \(quoteIdentifier(name))")
            remarks.append(
                "the foreign key '\(name)' of \(table) is left out: it refers to \(other), which is not chosen")
        }
    }

    /// The keys of tables that do not come along, to those of which partitions were chosen: they are no loss.
    private func dropKeysOfOthers(in session: PostgresSession) async throws {
        let keys = try await session.query(
            """
            SELECT format('%I.%I', n.nspname, c.relname), k.conname
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid <> ALL ($1::oid[])
                AND k.confrelid <> ALL ($1::oid[]) AND k.confrelid IN (
                    SELECT a.relid::oid FROM unnest($1::oid[]) AS t (oid)
                    CROSS JOIN LATERAL pg_partition_ancestors(t.oid::regclass) AS a (relid))
            """, [oids])
        for row in keys.rows {
            guard let table = row[0], let name = row[1] else { continue }
            try await session.execute("ALTER TABLE \(table) DROP CONSTRAINT \(quoteIdentifier(name))")
        }
    }

    /// Sequences that defaults of the tables use, and that are not theirs, come along and belong to nobody.
    private mutating func takeSequences(in session: PostgresSession) async throws {
        let owned = """
            SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
                AND deptype IN ('a', 'i') AND refobjid = ANY ($1::oid[])
            """
        ownSequences = try await session.relations(where: "c.relkind = 'S' AND c.oid IN (\(owned))", [oids])
        let used = """
            SELECT s.oid FROM pg_attrdef a
            JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
            JOIN pg_class s ON d.refclassid = 'pg_class'::regclass AND s.oid = d.refobjid AND s.relkind = 'S'
            WHERE a.adrelid = ANY ($1::oid[]) AND s.oid NOT IN (\(owned))
            """
        sequences = try await session.relations(where: "c.oid IN (\(used))", [oids])
        // ALTER SEQUENCE … OWNED BY NONE refuses that of an identity column.
        _ = try await session.query(
            """
            DELETE FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = ANY ($1::oid[])
                AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
            """, [sequences.oidArray])
        for sequence in sequences {
            remarks.append("the sequence \(sequence.sql), which gives values to chosen tables, comes along")
        }
    }

    private mutating func noteWhatIsLost(in session: PostgresSession) async throws {
        let unlogged = try await session.query(
            """
            SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = ANY ($1::oid[]) AND c.relpersistence = 'u' AND c.relkind = 'r' ORDER BY 1
            """, [oids])
        remarks += unlogged.rows.compactMap { $0[0] }.map {
            "\($0) is unlogged, and a recovery leaves unlogged tables empty"
        }
        let tablespaces = try await session.query(
            """
            SELECT DISTINCT t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
            WHERE c.oid = ANY ($1::oid[])
                OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1::oid[]))
            ORDER BY 1
            """, [oids])
        remarks += tablespaces.rows.compactMap { $0[0] }.map {
            "what was in the tablespace '\($0)' goes into that of the target database"
        }
        remarks += try await LargeObjectColumns.remarks(on: named, in: session)
    }

    /// The bytes that the tables, with their indexes, have on disk.
    func size(in session: PostgresSession) async throws -> Int64 {
        let size = try await session.query(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM unnest($1::oid[]) AS t (oid)", [oids])
        return size.firstValue.flatMap { Int64($0) } ?? 0
    }
}

extension [RecoveredRelation] {
    /// Their object identifiers as an array in PostgreSQL's text form.
    var oidArray: String { "{\(map { "\($0.oid)" }.joined(separator: ","))}" }
}

extension PostgresSession {
    /// The relations of users in this database that fulfil `condition` on `pg_class c`.
    fileprivate func relations(
        where condition: String, _ parameters: [String?] = []
    ) async throws -> [RecoveredRelation] {
        let rows = try await query(
            """
            SELECT c.oid, n.nspname, c.relname, c.relkind, EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE \(condition) AND c.relpersistence <> 't'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            ORDER BY n.nspname, c.relname
            """, parameters
        ).rows
        return try rows.map { row in
            guard let oid = row[0].flatMap({ UInt32($0) }), let schema = row[1], let name = row[2],
                let kind = row[3].flatMap({ RecoveredRelation.Kind(rawValue: $0) })
            else { throw unexpectedAnswer("its tables") }
            return RecoveredRelation(oid: oid, schema: schema, name: name, kind: kind, isOfExtension: row[4] == "t")
        }
    }
}
