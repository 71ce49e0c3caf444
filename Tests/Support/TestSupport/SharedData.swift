package import Foundation

/// Reference data that lies beside the repository on machines that have it; tests that use it are
/// enabled only then, and everything that must hold everywhere is tested with own fixtures too.
package enum SharedData {
    /// The directory, or nil on a machine without it.
    package static let directory: URL? = {
        // The package may be reached through symbolic links; the data lies beside the real one.
        let repository = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let directory = repository.deletingLastPathComponent().appendingPathComponent("shared")
        return FileManager.default.fileExists(atPath: directory.path) ? directory : nil
    }()

    /// Whether `path` below the directory exists.
    package static func has(_ path: String) -> Bool {
        file(path) != nil
    }

    /// The file at `path` below the directory, nil when it is not there.
    package static func file(_ path: String) -> URL? {
        guard let file = directory?.appendingPathComponent(path) else { return nil }
        return FileManager.default.fileExists(atPath: file.path) ? file : nil
    }
}
