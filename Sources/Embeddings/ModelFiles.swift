import Domain
import Glibc

/// Opens a regular file and says how long it is; the caller closes the descriptor.
func openRegularFile(
    _ path: String,
    limit: Int
) throws(EmbeddingError) -> (descriptor: CInt, byteCount: Int) {
    // O_NONBLOCK: a named pipe in a model's place must not hang the start.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
        if errno == ENOENT || errno == ENOTDIR { throw .missingFile(path: path) }
        throw .invalidModel(path: path, reason: "it cannot be opened: \(lastErrorText())")
    }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        throw .invalidModel(path: path, reason: "it is not a regular file")
    }
    guard status.st_size <= limit else {
        close(descriptor)
        throw .invalidModel(path: path, reason: "it is larger than \(limit) bytes")
    }
    return (descriptor, Int(status.st_size))
}

/// Reads a small file whole.
func readModelFile(_ path: String, limit: Int) throws(EmbeddingError) -> [UInt8] {
    let (descriptor, byteCount) = try openRegularFile(path, limit: limit)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var filled = 0
    while filled < byteCount {
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe read(descriptor, buffer.baseAddress?.advanced(by: filled), byteCount - filled)
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
            throw .invalidModel(path: path, reason: "reading stops at byte \(filled)")
        }
        filled += count
    }
    return bytes
}

/// Reads and parses a small JSON file.
func readModelJSON(_ path: String) throws(EmbeddingError) -> JSONValue {
    // The largest file of this kind holds a label for each class of a classifier.
    let bytes = try readModelFile(path, limit: 1 << 20)
    do throws(JSONError) {
        return try JSONParser.parse(bytes)
    } catch {
        throw .invalidModel(path: path, reason: "\(error)")
    }
}

/// As ``readModelJSON(_:)``, nil when there is no such file.
func readOptionalModelJSON(_ path: String) throws(EmbeddingError) -> JSONValue? {
    do throws(EmbeddingError) {
        return try readModelJSON(path)
    } catch {
        guard case .missingFile = error else { throw error }
        return nil
    }
}

/// What `errno` says, in words.
func lastErrorText() -> String {
    unsafe String(cString: strerror(errno))
}
