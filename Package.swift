// swift-tools-version: 6.2

// Targets stand in the order data flows: C libraries, pure values, edges, use cases, programs.
// A target depends only on targets above it (docs/ARCHITECTURE.md; scripts/check enforces it).

import PackageDescription

/// Every Swift target is built with these: the language as it will be, and no warning survives.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
    .strictMemorySafety(),
]

/// Targets whose inner loops run over every byte or float are optimised in debug builds too, so that
/// tests work on inputs of a real size; the compiler takes the last optimisation flag it is given.
let hot: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// Tests keep the language settings; memory safety annotations would only be noise there.
let testing: [SwiftSetting] = Array(strict.dropLast())

let package = Package(
    name: "preloop",
    products: [
        .executable(name: "preloop", targets: ["preloop"]),
        .executable(name: "preloop-sync", targets: ["preloop-sync"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(
            url: "https://github.com/hummingbird-project/hummingbird",
            from: "2.28.1",
            traits: []
        ),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // MARK: C
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .target(
            name: "CCurl",
            linkerSettings: [.linkedLibrary("curl")]
        ),
        .target(
            name: "CKernels",
            cSettings: [.unsafeFlags(["-O3"])]
        ),

        // MARK: Domain
        .target(
            name: "Domain",
            swiftSettings: hot,
            linkerSettings: [.linkedLibrary("m")]
        ),
        .testTarget(
            name: "DomainTests",
            dependencies: ["Domain", "TestSupport"],
            swiftSettings: testing
        ),

        // MARK: Firewall
        .target(
            name: "Firewall",
            dependencies: [
                "Domain",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Yams", package: "Yams"),
            ],
            exclude: ["CEL/DESIGN.md", "Policy/DESIGN.md"],
            swiftSettings: hot
        ),
        .testTarget(
            name: "FirewallTests",
            dependencies: ["Domain", "Firewall", "TestSupport"],
            swiftSettings: testing
        ),

        // MARK: MCP
        .target(name: "MCP", dependencies: ["Domain"], swiftSettings: hot),
        .testTarget(
            name: "MCPTests",
            dependencies: ["Domain", "MCP", "TestSupport"],
            swiftSettings: testing
        ),

        // MARK: LinearAlgebra
        .target(name: "LinearAlgebra", dependencies: ["CKernels"], swiftSettings: hot),
        .testTarget(
            name: "LinearAlgebraTests",
            dependencies: ["LinearAlgebra"],
            swiftSettings: testing
        ),

        // MARK: HTTPClient
        .target(name: "HTTPClient", dependencies: ["CCurl"], swiftSettings: strict),
        .testTarget(
            name: "HTTPClientTests",
            dependencies: ["HTTPClient", "TestSupport"],
            swiftSettings: testing
        ),

        // MARK: VectorIndex
        .target(
            name: "VectorIndex",
            dependencies: ["LinearAlgebra"],
            exclude: ["DESIGN.md"],
            swiftSettings: hot
        ),
        .testTarget(
            name: "VectorIndexTests",
            dependencies: ["LinearAlgebra", "TestSupport", "VectorIndex"],
            swiftSettings: testing
        ),

        // MARK: Embeddings
        .target(
            name: "Embeddings",
            dependencies: [
                "Domain", "HTTPClient", "LinearAlgebra",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            exclude: ["DESIGN.md"],
            swiftSettings: hot
        ),
        .testTarget(
            name: "EmbeddingsTests",
            dependencies: [
                "Domain", "Embeddings", "HTTPClient", "LinearAlgebra", "TestSupport",
            ],
            swiftSettings: testing
        ),

        // MARK: Trackers
        .target(
            name: "Trackers",
            dependencies: [
                "Domain", "HTTPClient",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: hot
        ),
        .testTarget(
            name: "TrackersTests",
            dependencies: [
                "Domain", "HTTPClient", "TestSupport", "Trackers",
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: testing
        ),

        // MARK: Store
        .target(
            name: "Store",
            dependencies: [
                "CPostgres", "Domain",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            swiftSettings: hot
        ),
        .testTarget(
            name: "StoreTests",
            dependencies: ["Domain", "Store", "StoreTestSupport", "TestSupport"],
            swiftSettings: testing
        ),

        // MARK: Sync
        .target(
            name: "Sync",
            dependencies: [
                "Domain", "Store", "Trackers",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SyncTests",
            dependencies: [
                "Domain", "HTTPClient", "Store", "StoreTestSupport", "Sync", "TestSupport",
                "Trackers",
            ],
            swiftSettings: testing
        ),

        // MARK: Search
        .target(
            name: "Search",
            dependencies: ["Domain", "Embeddings", "Store", "VectorIndex"],
            swiftSettings: hot
        ),
        .testTarget(
            name: "SearchTests",
            dependencies: [
                "Domain", "Embeddings", "Search", "Store", "StoreTestSupport", "TestSupport",
                "VectorIndex",
            ],
            swiftSettings: testing
        ),

        // MARK: Gateway
        .target(
            name: "Gateway",
            dependencies: [
                "Domain", "Firewall", "HTTPClient", "MCP", "Search", "Store", "Trackers",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Domain", "Embeddings", "Firewall", "Gateway", "HTTPClient", "MCP", "Search",
                "Store", "StoreTestSupport", "Sync", "TestSupport", "Trackers",
            ],
            swiftSettings: testing
        ),

        // MARK: API
        .target(
            name: "API",
            dependencies: [
                "Domain", "Firewall", "Gateway", "MCP", "Search", "Store", "Sync", "Trackers",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdHTTP2", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict
        ),

        .testTarget(
            name: "APITests",
            dependencies: [
                "API", "Domain", "Firewall", "Gateway", "HTTPClient", "MCP", "Search", "Store",
                "StoreTestSupport", "Sync", "TestSupport", "Trackers",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: testing
        ),

        // MARK: Programs
        .target(
            name: "Bootstrap",
            dependencies: [
                "Domain", "Embeddings", "Firewall", "Gateway", "HTTPClient", "LinearAlgebra",
                "MCP", "Search", "Store", "Sync", "Trackers", "VectorIndex",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "preloop",
            dependencies: [
                "API", "Bootstrap", "Domain", "Embeddings", "Firewall", "Gateway", "HTTPClient",
                "MCP", "Search", "Store", "Sync", "Trackers",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "preloop-sync",
            dependencies: [
                "Bootstrap", "Domain", "Search", "Store", "Sync",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "Bootstrap", "Domain", "HTTPClient", "Search", "Store", "StoreTestSupport", "Sync",
                "TestSupport", "preloop", "preloop-sync",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: testing
        ),

        // MARK: Test support and benchmarks
        .target(
            name: "TestSupport",
            dependencies: ["Domain"],
            path: "Tests/Support/TestSupport",
            swiftSettings: testing
        ),
        .target(
            name: "StoreTestSupport",
            dependencies: ["Domain", "Store", "TestSupport"],
            path: "Tests/Support/StoreTestSupport",
            swiftSettings: testing
        ),
        .executableTarget(
            name: "tracker-simulator",
            dependencies: ["Domain"],
            path: "Tests/Support/TrackerSimulator",
            exclude: ["SampleIssues.jsonl"],
            swiftSettings: testing
        ),
        .executableTarget(
            name: "preloop-bench",
            dependencies: [
                "Bootstrap", "Domain", "Embeddings", "Firewall", "HTTPClient", "LinearAlgebra",
                "Search", "Store", "Sync", "VectorIndex",
            ],
            path: "benchmarks/preloop-bench",
            swiftSettings: strict
        ),
    ],
    swiftLanguageModes: [.v6]
)
