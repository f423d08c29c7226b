internal import BackupModel

/// The name of a file that is not an object yet: `.tmp-<number>`, `-<place>` if its writer has locked it, and `.stream` as
/// long as its source is still writing its content.
struct TemporaryName: Sendable, Hashable {
    private let number: UInt64
    /// Where the lock of the file is seen, which its writer has until it ends; `nil` if it has none.
    var place: LockPlace?
    var isStreamed: Bool

    private static let prefix = ".tmp-"
    private static let streamSuffix = ".stream"

    /// A name that nobody has.
    init(lockedAt place: LockPlace?, isStreamed: Bool = false) {
        number = .random(in: .min ... .max)
        self.place = place
        self.isStreamed = isStreamed
    }

    var text: String {
        let lock = place.map { "-\($0.text)" } ?? ""
        return "\(Self.prefix)\(String(number, radix: 16))\(lock)\(isStreamed ? Self.streamSuffix : "")"
    }

    /// Returns `nil` for the name of anything else; what an earlier or a later version has made is one, too.
    init?(parsing text: String) {
        guard Self.isOne(text) else { return nil }
        isStreamed = text.hasSuffix(Self.streamSuffix)
        let parts = text.dropFirst(Self.prefix.count).dropLast(isStreamed ? Self.streamSuffix.count : 0)
            .split(separator: "-")
        number = parts.first.flatMap { UInt64($0, radix: 16) } ?? 0
        place = parts.count == 2 ? LockPlace(text: String(parts[1])) : nil
    }

    static func isOne(_ name: String) -> Bool { name.hasPrefix(prefix) }
}

/// Where a lock is seen by everybody: one start of one host, and a file system of its own that is mounted there.
struct LockPlace: Sendable, Hashable {
    let text: String

    fileprivate init(text: String) { self.text = text }

    /// The place of a directory on this host.
    ///
    /// `nil` on any file system that others may have mounted too, where locks are not seen by all, or are waited for.
    init?(of directory: borrowing OpenDirectory) throws(BackupError) {
        guard let boot, try Self.localFileSystems.contains(directory.fileSystemType()) else { return nil }
        text = "\(boot)\(String(try directory.entry().device, radix: 16))"
    }

    /// ext2 to ext4, XFS, Btrfs, ZFS, F2FS, bcachefs, tmpfs and overlayfs, by the numbers of statfs(2).
    private static let localFileSystems: Set<UInt32> = [
        0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0xF2F5_2010, 0xCA45_1A4E, 0x0102_1994, 0x794C_7630,
    ]
}

/// What tells this start of the host from all others.
private let boot: String? = {
    let path = "/proc/sys/kernel/random/boot_id"
    guard let id = try? OpenFile(reading: path).read(at: 0, count: 64) else { return nil }
    let digits = String(decoding: id, as: UTF8.self).filter(\.isHexDigit)
    return digits.count >= 16 ? String(digits.prefix(16)) : nil
}()
