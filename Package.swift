// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: Swift 6 mode with strict imports, explicit existentials and memory safety.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
]

let package = Package(
    name: "apex-backup",
    products: [
        .library(name: "ApexBackup", targets: ["ApexBackup"]),
        .executable(name: "apex-backup", targets: ["apex-backup"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.100.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        .target(name: "CLibPQ"),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "BackupModel", swiftSettings: strict),
        .target(
            name: "BackupStorage",
            dependencies: [
                "BackupModel", "CZlib", "CISAL", "CZstd", "COpenSSL",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict),
        .target(
            name: "PostgresAccess",
            dependencies: [
                "BackupModel", "CLibPQ",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .target(
            name: "ApexBackup",
            dependencies: [
                "BackupModel", "BackupStorage", "PostgresAccess",
                .product(name: "Yams", package: "Yams"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "apex-backup",
            dependencies: [
                "ApexBackup", "BackupModel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Sources/ApexBackupCLI",
            swiftSettings: strict,
            // Nobody looks for symbols in the program: without them it starts a millisecond sooner.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--no-export-dynamic"], .when(platforms: [.linux]))]),
        .target(
            name: "TestSupport",
            dependencies: ["ApexBackup", "BackupModel", "BackupStorage", "PostgresAccess"],
            path: "Tests/TestSupport",
            swiftSettings: strict),
        .testTarget(
            name: "BackupModelTests", dependencies: ["BackupModel", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "BackupStorageTests", dependencies: ["BackupModel", "BackupStorage", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "PostgresAccessTests", dependencies: ["BackupModel", "PostgresAccess", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "ApexBackupTests",
            dependencies: ["ApexBackup", "BackupModel", "BackupStorage", "PostgresAccess", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "apex-backup", "ApexBackup", "BackupModel", "BackupStorage", "PostgresAccess", "TestSupport",
            ],
            swiftSettings: strict),
    ]
)
