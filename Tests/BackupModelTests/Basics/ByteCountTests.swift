import Testing

@testable import BackupModel

@Suite struct `Writing numbers for people` {
    @Test(
        arguments: [
            (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"), (1_048_576, "1.0 MiB"), (1_503_238_553, "1.4 GiB"), (68_719_476_736, "64.0 GiB"),
            (1 << 40, "1.0 TiB"), (1 << 50, "1.0 PiB"), (.max, "8192.0 PiB"), (-5, "-5 B"),
        ] as [(Int64, String)])
    func `writes byte counts in powers of 1024`(count: Int64, text: String) {
        #expect(formatBytes(count) == text)
    }

    @Test(
        arguments: [
            (0, 1, "0.0"), (0.04, 1, "0.0"), (-0.04, 1, "0.0"), (0.05, 1, "0.1"), (1.25, 1, "1.3"), (-1.25, 1, "-1.3"),
            (12.3456, 3, "12.346"), (2.5, 0, "3"), (-2.5, 0, "-3"), (0.001, 3, "0.001"), (9.999, 2, "10.00"),
            (.infinity, 1, "?"), (.nan, 1, "?"),
        ] as [(Double, Int, String)])
    func `rounds half away from zero`(value: Double, digits: Int, text: String) {
        #expect(formatFixed(value, digits: digits) == text)
    }

    @Test func `leaves very large numbers as they are`() {
        #expect(formatFixed(1e18, digits: 1) == "1e+18")
    }
}
