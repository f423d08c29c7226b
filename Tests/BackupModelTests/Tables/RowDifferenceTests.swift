import Testing

@testable import BackupModel

@Suite struct `The difference of two tables by their primary key` {
    private func column(
        _ name: String, _ type: String = "23", isComparable: Bool = true, isOfUser: Bool = false, isKey: Bool = false
    ) -> ComparedTable.Column {
        ComparedTable.Column(name, type: type, isComparable: isComparable, isOfUser: isOfUser, isKey: isKey)
    }

    private func table(
        _ schema: String, isPartitioned: Bool = false, _ columns: ComparedTable.Column...
    ) -> ComparedTable {
        ComparedTable(schema: schema, name: "t", isPartitioned: isPartitioned, columns: columns)
    }

    @Test func `is one statement that joins on the key and compares all common columns`() throws {
        let columns = [column("k", isKey: true), column("n"), column("doc", "114", isComparable: false)]
        let difference = try RowDifference(
            of: table("old", columns[0], columns[1], columns[2]),
            with: table("public", isPartitioned: true, columns[1], columns[2], columns[0]))
        #expect(
            difference.counts == """
                SELECT pg_catalog.count(*) FILTER (WHERE restored."k" IS NULL), pg_catalog.count(*) FILTER (WHERE \
                live."k" IS NULL),
                    pg_catalog.count(*) FILTER (WHERE NOT (restored."k" IS NULL) AND NOT (live."k" IS NULL) AND \
                (restored."n" IS DISTINCT FROM live."n" OR restored."doc"::pg_catalog.text COLLATE pg_catalog."C" IS \
                DISTINCT FROM live."doc"::pg_catalog.text COLLATE pg_catalog."C"))
                FROM ONLY "old"."t" AS restored FULL JOIN "public"."t" AS live ON (restored."k" = live."k")
                """)
        #expect(difference.rows.hasSuffix(";"))
        #expect(difference.rows.contains("FROM ONLY \"old\".\"t\" AS restored FULL JOIN \"public\".\"t\" AS live"))
        #expect(difference.rows.contains("WHERE restored.\"k\" IS NULL OR live.\"k\" IS NULL OR restored.\"n\""))
    }

    @Test func `names columns that only one has, and compares those of other types as text`() throws {
        let difference = try RowDifference(
            of: table("old", column("k", "20", isKey: true), column("gone"), column("n")),
            with: table("public", column("k", "23", isKey: true), column("n", "25"), column("new")))
        #expect(difference.onlyInRestored == ["gone"] && difference.onlyInLive == ["new"])
        #expect(difference.ofOtherType == ["k", "n"])
        let text = "::pg_catalog.text COLLATE pg_catalog.\"C\""
        #expect(difference.counts.contains("ON (restored.\"k\"\(text) = live.\"k\"\(text))"))
        #expect(!difference.counts.contains("gone") && !difference.counts.contains("new"))
    }

    @Test func `converts what is of a user's type by nothing but the type's own output`() throws {
        let difference = try RowDifference(
            of: table("old", column("k", isKey: true), column("pair", "20001", isComparable: false, isOfUser: true)),
            with: table("public", column("k", isKey: true), column("pair", "25", isComparable: false)))
        let sides = ["restored", "live"].map { "pg_catalog.format('%L', \($0).\"pair\") COLLATE pg_catalog.\"C\"" }
        #expect(difference.counts.contains("\(sides[0]) IS DISTINCT FROM \(sides[1])"), "\(difference.counts)")
        #expect(!difference.rows.contains("::pg_catalog.text"))
    }

    @Test func `asks of all columns of a key, in any order, and of no change where there is nothing else`() throws {
        let difference = try RowDifference(
            of: table("old", column("a", isKey: true), column("b\"", isKey: true)),
            with: table("public", column("b\"", isKey: true), column("a", isKey: true)))
        #expect(
            difference.counts.contains("ON (restored.\"a\" = live.\"a\" AND restored.\"b\"\"\" = live.\"b\"\"\")"))
        #expect(difference.counts.contains("AND (false))"))
    }

    @Test func `is none without a key, or where the live table has another`() {
        let keyed = table("old", column("a", isKey: true), column("b"))
        let other = table("public", column("a"), column("b", isKey: true))
        let without = table("public", column("a"))
        func reason(_ restored: ComparedTable, _ live: ComparedTable) -> String? {
            (#expect(throws: NoRowDifference.self) { try RowDifference(of: restored, with: live) })?.reason
        }
        #expect(reason(without, keyed) == "the restored table has no primary key")
        #expect(reason(keyed, without) == "the primary key was (a), and now there is none")
        #expect(reason(keyed, other) == "the primary key was (a), and now is (b)")
    }
}
