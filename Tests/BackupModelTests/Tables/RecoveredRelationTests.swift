import Testing

@testable import BackupModel

@Suite struct `A table of a recovered database` {
    private let relations = [
        RecoveredRelation(oid: 1, schema: "public", name: "orders", kind: .partitioned, isOfExtension: false),
        RecoveredRelation(oid: 2, schema: "public", name: "items", kind: .table, isOfExtension: false),
        RecoveredRelation(oid: 3, schema: "audit", name: "items", kind: .table, isOfExtension: false),
        RecoveredRelation(oid: 4, schema: "public", name: "Odd \"name\"", kind: .table, isOfExtension: false),
        RecoveredRelation(oid: 5, schema: "public", name: "totals", kind: .view, isOfExtension: false),
        RecoveredRelation(oid: 6, schema: "public", name: "spatial", kind: .table, isOfExtension: true),
        RecoveredRelation(oid: 7, schema: "a.b", name: "c", kind: .table, isOfExtension: false),
    ]

    private func refusal(_ names: String...) -> BackupError? {
        #expect(throws: BackupError.self) { try relations.tables(named: names) }
    }

    @Test func `is named with its schema, or alone where there is one of its name, and taken once`() throws {
        #expect(try relations.tables(named: ["orders", "audit.items", "public.orders"]).map(\.oid) == [1, 3])
        #expect(try relations.tables(named: ["public.Odd \"name\"", "a.b.c"]).map(\.oid) == [4, 7])
        let dotted =
            relations + [
                RecoveredRelation(oid: 8, schema: "a", name: "b.c", kind: .table, isOfExtension: false)
            ]
        #expect(try dotted.tables(named: ["\"a\".\"b.c\"", "\"a.b\".\"c\""]).map(\.oid) == [8, 7])
        let ambiguous = #expect(throws: BackupError.self) { try dotted.tables(named: ["a.b.c"]) }
        #expect(ambiguous?.remedy == "Write it as SQL does: \"a\".\"b.c\" or \"a.b\".\"c\".")
        #expect(relations[3].sql == "\"public\".\"Odd \"\"name\"\"\"")
    }

    @Test func `is refused where it is none, several, something else, or an extension's`() {
        let unknown = refusal("public.order")
        #expect(unknown?.code == .usage && unknown?.remedy.contains("Did you mean 'public.orders'?") == true)
        #expect(refusal("ordesr")?.remedy.contains("Did you mean 'orders'?") == true)
        #expect(refusal("\"orders\"")?.message.contains("no table") == true)
        #expect(refusal("items")?.reason == "it has audit.items, public.items")
        #expect(refusal("totals")?.message == "'totals' was a view at that moment.")
        #expect(refusal("spatial")?.message.contains("belongs to an extension") == true)
        #expect(refusal("audit.items", "public.items")?.reason?.contains("would both be 'items'") == true)
    }
}
