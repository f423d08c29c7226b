import BackupModel
import PostgresAccess

extension RecoveredTables {
    /// What the tables refer to outside themselves.
    func needs(in session: PostgresSession) async throws -> (needs: TableNeeds, labels: [NeededObject: String]) {
        var labels: [NeededObject: String] = [:]
        var references: [TableNeeds.Reference] = []
        for row in try await session.query(Self.needsQuery, [oidsWithSequences]).rows {
            guard row.count == 11, let type = row[4], let names = row[5], let arguments = row[6], let title = row[7]
            else { throw unexpectedAnswer("what its tables need") }
            let object = NeededObject(
                type: type, names: names, arguments: arguments, title: title, isRelation: row[8] == "t",
                extensionName: row[9])
            if let texts = row[10] { labels[object] = texts }
            references.append(
                TableNeeds.Reference(user: row[3] ?? "", act: act(row[0], row[1], row[2]), object: object))
        }
        var roles: [TableAct: Set<String>] = [:]
        for row in try await session.query(Self.policyQuery, [oids]).rows {
            guard let role = row[2], let act = act("policy", row[0], row[1]) else { continue }
            roles[act, default: []].insert(role)
        }
        return (TableNeeds(references: references, policyRoles: roles), labels)
    }

    private func act(_ kind: String?, _ name: String?, _ table: String?) -> TableAct? {
        guard let kind = kind.flatMap({ TableAct.Kind(rawValue: $0) }), let name, let table else { return nil }
        return TableAct(kind, name, on: table)
    }

    /// The parts of the tables, what each refers to, and how that is found elsewhere.
    ///
    /// What PostgreSQL itself brings has lower object identifiers. A copy that a partition has of its table's trigger
    /// goes with that.
    private static let needsQuery = """
        WITH RECURSIVE part (classid, objid) AS (
            SELECT 'pg_class'::regclass::oid, t.oid FROM unnest($1::oid[]) AS t (oid)
            UNION
            SELECT d.classid, d.objid
            FROM part p JOIN pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid
            WHERE d.deptype IN ('a', 'i', 'P', 'S') AND d.classid IN (
                'pg_class'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass,
                'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_statistic_ext'::regclass, 'pg_type'::regclass)
        ), need AS (
            SELECT DISTINCT d.classid, d.objid, d.objsubid, d.refclassid, coalesce(e.typelem, d.refobjid) AS refobjid
            FROM part p JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
            LEFT JOIN pg_type e ON d.refclassid = 'pg_type'::regclass AND e.oid = d.refobjid
                AND e.typcategory = 'A' AND e.typelem <> 0
            WHERE d.refobjid >= 16384 AND d.deptype IN ('n', 'a', 'i')
                AND d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass)
        )
        SELECT CASE WHEN g.oid IS NOT NULL THEN 'trigger' WHEN r.oid IS NOT NULL THEN 'rule'
                WHEN p.oid IS NOT NULL THEN 'policy' END,
            coalesce(g.tgname, r.rulename, p.polname),
            (SELECT format('%I.%I', s.nspname, c.relname) FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
                WHERE c.oid = coalesce(g.tgrelid, r.ev_class, p.polrelid)),
            pg_describe_object(n.classid, n.objid, n.objsubid),
            a.type, a.object_names::text, a.object_args::text, pg_describe_object(n.refclassid, n.refobjid, 0),
            n.refclassid = 'pg_class'::regclass,
            (SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
                WHERE d.classid = n.refclassid AND d.objid = n.refobjid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_extension'::regclass),
            (SELECT array_agg(l.enumlabel)::text FROM pg_enum l
                WHERE n.refclassid = 'pg_type'::regclass AND l.enumtypid = n.refobjid)
        FROM need n
        CROSS JOIN LATERAL pg_identify_object_as_address(n.refclassid, n.refobjid, 0) AS a
        LEFT JOIN pg_trigger g ON n.classid = 'pg_trigger'::regclass AND g.oid = n.objid
        LEFT JOIN pg_rewrite r ON n.classid = 'pg_rewrite'::regclass AND r.oid = n.objid
        LEFT JOIN pg_policy p ON n.classid = 'pg_policy'::regclass AND p.oid = n.objid
        WHERE NOT EXISTS (SELECT FROM part WHERE classid = n.refclassid AND objid = n.refobjid)
            AND coalesce(g.tgparentid, 0) = 0
        ORDER BY 4, 8
        """

    private static let policyQuery = """
        SELECT p.polname, format('%I.%I', s.nspname, c.relname), r.rolname
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace s ON s.oid = c.relnamespace
        CROSS JOIN LATERAL unnest(p.polroles) AS member (oid) JOIN pg_roles r ON r.oid = member.oid
        WHERE p.polrelid = ANY ($1::oid[])
        """
}

/// What a target has of what tables need.
struct NeedsInTarget {
    /// In the database that takes the tables.
    let session: PostgresSession

    /// Those of `objects` that are not there.
    func absent(of objects: [NeededObject]) async throws -> Set<NeededObject> {
        var absent: Set<NeededObject> = []
        for object in objects {
            do {
                _ = try await session.query(
                    "SELECT pg_get_object_address($1, $2::text[], $3::text[])",
                    [object.type, object.names, object.arguments])
            } catch let error as BackupError where Self.isAbsence(error.sqlstate) {
                absent.insert(object)
            }
        }
        return absent
    }

    /// Undefined as an object, function, table or schema; or there as something else.
    private static func isAbsence(_ state: String?) -> Bool {
        ["42704", "42883", "42P01", "3F000", "42809"].contains(state)
    }

    /// The labels that enumerations lack, for people; `labels` are those of types that are there.
    func lackingLabels(of labels: [NeededObject: String]) async throws -> [NeededObject: String] {
        var lacking: [NeededObject: String] = [:]
        for (object, texts) in labels {
            let answer = try await session.query(
                """
                SELECT string_agg(quote_literal(label), ', ') FROM unnest($1::text[]) AS label
                WHERE label NOT IN (
                    SELECT enumlabel FROM pg_enum WHERE enumtypid = (($2::text[])[1])::regtype)
                """, [texts, object.names])
            if let list = answer.firstValue { lacking[object] = list }
        }
        return lacking
    }
}
