import FoundationEssentials
import Testing

@testable import BackupModel

@Suite struct `The collations of a restored cluster` {
    private static func version(
        _ provider: String, _ locale: String, _ recorded: String?, _ actual: String?
    ) -> CollationRecord.Version {
        CollationRecord.Version(provider: provider, locale: locale, recorded: recorded, actual: actual)
    }

    private static func found(
        _ provider: String, _ locale: String, _ recorded: String?, _ actual: String?, name: String? = nil
    ) -> FoundCollation {
        FoundCollation(name: name, provider: provider, locale: locale, recorded: recorded, actual: actual)
    }

    private static let source = CollationRecord(
        versions: [
            version("libc", "de_DE.UTF-8", "2.31", "2.36"), version("icu", "de", "153.14", "153.14"),
            version("icu", "de", "153.14", "153.14"), version("libc", "C", nil, nil),
        ], unread: 0)

    @Test func `are known by the versions that a backup keeps, each once, and only where there is one`() {
        #expect(Self.source.versions.map(\.locale) == ["de", "de_DE.UTF-8"])
        #expect(Self.source.summary == "icu 153.14, libc 2.36" && Self.source.library == "2.36")
        #expect(CollationRecord(versions: [], unread: 1).summary == "none that has a version")
        let many = (0..<500).map { Self.version("icu", "x-\($0)", "1", "1") }
        #expect(CollationRecord(versions: many, unread: 0).versions.count == CollationRecord.mostVersions)
        #expect(Self.source.sourceWarnings.count == 1 && Self.source.sourceWarnings[0].contains("'de_DE.UTF-8'"))
    }

    @Test func `differ if the library is another than the catalogue's or the source's, and C never does`() {
        let comparison = CollationComparison(source: Self.source)
        func differs(_ collation: FoundCollation) -> Bool {
            if case .differs = comparison.compare(collation) { true } else { false }
        }
        #expect(comparison.compare(Self.found("icu", "de", "153.14", "153.14")) == .same)
        #expect(differs(Self.found("icu", "de", "153.14", "153.80")))
        // The indexes were written by 2.36 last, and by 2.31 once.
        #expect(differs(Self.found("libc", "de_DE.UTF-8", "2.31", "2.31")))
        #expect(differs(Self.found("libc", "de_DE.UTF-8", "2.31", "2.36")))
        // The C library has one version for all locales; one without versions is another one.
        #expect(differs(Self.found("libc", "fr_FR.UTF-8", nil, "2.41")))
        #expect(comparison.compare(Self.found("libc", "fr_FR.UTF-8", nil, "2.36")) == .same)
        #expect(differs(Self.found("libc", "fr_FR.UTF-8", "2.36", nil)))
        #expect(comparison.compare(Self.found("libc", "C", nil, nil)) == .same)
        // Of a backup that does not know, the catalogue tells; if it does not either, nobody does.
        let older = CollationComparison(source: nil)
        #expect(older.compare(Self.found("icu", "de", "153.14", "153.14")) == .same)
        #expect(older.compare(Self.found("icu", "de", nil, "153.14")) == .unknown)
        #expect(older.compare(Self.found("icu", "de", "1", "153.14")) != .same)
    }

    @Test func `are mended by statements for each index, and then for what the catalogue says`() throws {
        let comparison = CollationComparison(source: Self.source)
        let all = [
            Self.found("libc", "de_DE.UTF-8", "2.31", "2.41"), Self.found("icu", "de", "153.14", "9", name: "s.\"de\""),
            Self.found("libc", "de_DE.UTF-8", "2.31", "2.31", name: "s.same"),
        ]
        let differences = try all.map { collation in
            guard case .differs(let difference) = comparison.compare(collation) else {
                throw CancellationError()
            }
            return difference
        }
        let database = CollationReport.Database(
            name: "a\"b", differences: differences, indexes: ["public.x", "public.\"Y\""])
        #expect(
            database.statements == [
                "REINDEX INDEX public.x;", "REINDEX INDEX public.\"Y\";",
                "ALTER DATABASE \"a\"\"b\" REFRESH COLLATION VERSION;", "ALTER COLLATION s.\"de\" REFRESH VERSION;",
            ])
        var report = CollationReport(compared: 2, databases: [database, database])
        #expect(report.statements(most: 5).first.map(\.database) == Array(repeating: "a\"b", count: 5))
        #expect(report.statements(most: 5).further == 3 && report.statements(most: 20).further == 0)
        let summary = try #require(report.summary)
        #expect(summary.contains("libc has version 2.41, and had 2.36 (2.31 in the catalogue)"))
        #expect(summary.contains("4 indexes of 2 databases"))
        #expect(report.text.contains("In a\"b: REINDEX INDEX public.x;"))
        report = CollationReport(compared: 3)
        #expect(report.summary == nil && report.text == "those of the source, in 3 databases")
        report.unknown = ["'x': gone"]
        #expect(report.summary == "Not compared: 'x': gone.")
    }

    @Test func `are warned of in the plan where this host's C library is another`() {
        #expect(Self.source.warning(forLibrary: "2.36") == nil && Self.source.warning(forLibrary: nil) == nil)
        #expect(Self.source.warning(forLibrary: "2.41")?.contains("is 2.41, and the source's was 2.36") == true)
        #expect(CollationRecord(versions: [], unread: 0).warning(forLibrary: "2.41") == nil)
    }

    @Test func `are absent in the record of an older backup, which is read all the same`() throws {
        var record = PhysicalRecord(
            start: LogSequenceNumber(position: 1), stop: LogSequenceNumber(position: 2), timeline: 1,
            walSegmentBytes: 16 << 20, files: 1, packs: 1, tablespaces: [], configuration: [],
            configurationMissing: false, damage: nil)
        let older = try JSONEncoder().encode(record)
        #expect(!String(decoding: older, as: UTF8.self).contains("collations"))
        #expect(try JSONDecoder().decode(PhysicalRecord.self, from: older) == record)
        record.collations = Self.source
        #expect(try JSONDecoder().decode(PhysicalRecord.self, from: JSONEncoder().encode(record)) == record)
    }
}
