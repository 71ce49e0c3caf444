import Crypto
import Domain
import Foundation
import Glibc

/// A model's directory in the making, beside the place it is meant for.
struct StagedModel: Sendable {
    /// Holds ``path`` and whatever the source needs meanwhile; hidden, so that no list shows it.
    let scratch: String
    /// The directory that becomes the model's.
    let path: String
    private let folder: String
    private let target: String

    init(folder: String, name: String) {
        self.folder = folder
        target = folder + "/" + name
        scratch = folder + "/.fetch-" + UUID().uuidString
        path = scratch + "/model"
    }

    /// Makes the directories, for the owner alone.
    func begin() throws(EmbeddingError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw failed("cannot make `\(path)`: \(lastErrorText())")
        }
    }

    /// Copies a file.
    func write(_ name: String, copying source: String) throws(EmbeddingError) {
        let (input, _) = try openRegularFile(source, limit: ModelFetch.maximumFileByteCount)
        defer { close(input) }
        try create(name) { (output) throws(EmbeddingError) in
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            while true {
                let count = try readSome(input, into: &buffer, path: source)
                guard count > 0 else { return }
                try writeAll(buffer[..<count], to: output)
            }
        }
    }

    /// Writes a file.
    func write(_ name: String, bytes: [UInt8]) throws(EmbeddingError) {
        try create(name) { (output) throws(EmbeddingError) in try writeAll(bytes[...], to: output) }
    }

    /// Puts the directory in its place, an older one out of it.
    func install() throws(EmbeddingError) {
        try synchronize(path + "/1_Pooling", mayLack: true)
        try synchronize(path)
        let old = scratch + "/old"
        // A directory that is not empty cannot be replaced by one call; between the two calls there
        // is no model, and a crash there leaves the old one in the scratch directory.
        if unsafe rename(target, old) != 0, errno != ENOENT {
            throw failed("cannot move `\(target)` away: \(lastErrorText())")
        }
        guard unsafe rename(path, target) == 0 else {
            let reason = lastErrorText()
            // Nothing more can be done when the way back is barred too; the first reason counts.
            _ = unsafe rename(old, target)
            throw failed("cannot rename to `\(target)`: \(reason)")
        }
        try synchronize(folder)
        discard()
    }

    /// Removes what is left of the making.
    func discard() {
        // A directory left behind costs space and nothing else.
        try? FileManager.default.removeItem(atPath: scratch)
    }

    private func create(
        _ name: String,
        _ fill: (CInt) throws(EmbeddingError) -> Void
    ) throws(EmbeddingError) {
        let file = path + "/" + name
        if let slash = name.lastIndex(of: "/") {
            let folder = path + "/" + name[..<slash]
            guard unsafe mkdir(folder, 0o700) == 0 || errno == EEXIST else {
                throw failed("cannot make `\(folder)`: \(lastErrorText())")
            }
        }
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed("cannot write `\(file)`: \(lastErrorText())") }
        defer { close(descriptor) }
        try fill(descriptor)
        guard fsync(descriptor) == 0 else {
            throw failed("cannot force `\(file)` to disk: \(lastErrorText())")
        }
    }

    private func writeAll(_ bytes: ArraySlice<UInt8>, to output: CInt) throws(EmbeddingError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { buffer in
                unsafe Glibc.write(output, buffer.baseAddress, buffer.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failed("cannot write to `\(path)`: \(lastErrorText())") }
            rest = rest.dropFirst(count)
        }
    }

    private func synchronize(_ folder: String, mayLack: Bool = false) throws(EmbeddingError) {
        let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0, mayLack, errno == ENOENT { return }
        guard descriptor >= 0 else { throw failed("cannot open `\(folder)`: \(lastErrorText())") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw failed("cannot force `\(folder)` to disk: \(lastErrorText())")
        }
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
func fileDigest(_ path: String) throws(EmbeddingError) -> String {
    let (input, _) = try openRegularFile(path, limit: ModelFetch.maximumFileByteCount)
    defer { close(input) }
    var hash = SHA256()
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = try readSome(input, into: &buffer, path: path)
        guard count > 0 else { return hexadecimal(hash.finalize()) }
        unsafe buffer.withUnsafeBytes { bytes in
            unsafe hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }
}

/// Reads up to a buffer; 0 at the end.
private func readSome(
    _ input: CInt,
    into buffer: inout [UInt8],
    path: String
) throws(EmbeddingError) -> Int {
    while true {
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe read(input, bytes.baseAddress, bytes.count)
        }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else {
            throw .invalidModel(path: path, reason: "it cannot be read: \(lastErrorText())")
        }
        return count
    }
}
