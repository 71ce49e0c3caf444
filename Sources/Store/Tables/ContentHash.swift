import Crypto
package import Domain

/// A SHA-256 over fields, each behind its length, so that different rows never share their bytes.
///
/// Text is hashed as UTF-8 bytes: `==` on strings would call composed and decomposed letters equal.
struct ContentHash {
    private var hasher = SHA256()

    mutating func add(_ text: String) {
        add(count: text.utf8.count)
        var text = text
        text.withUTF8 { bytes in unsafe hasher.update(bufferPointer: UnsafeRawBufferPointer(bytes))
        }
    }

    /// Nil is told from an empty text by a length no text has.
    mutating func add(_ text: String?) {
        guard let text else { return add(count: -1) }
        add(text)
    }

    mutating func add(_ texts: [String]) {
        add(count: texts.count)
        for text in texts { add(text) }
    }

    mutating func add(_ instant: Timestamp) {
        add(number: instant.milliseconds)
    }

    mutating func add(count: Int) {
        add(number: Int64(count))
    }

    private mutating func add(number: Int64) {
        unsafe withUnsafeBytes(of: number.littleEndian) { unsafe hasher.update(bufferPointer: $0) }
    }

    consuming func finalized() -> [UInt8] {
        [UInt8](hasher.finalize())
    }
}

extension Issue {
    /// The digest of everything that is stored of the issue; its comments have their own.
    package var contentHash: [UInt8] {
        var hash = ContentHash()
        for field in [externalID, kind.rawValue, key, title, body, state.rawValue, url] {
            hash.add(field)
        }
        for field in [source, status, author, priority, type] { hash.add(field) }
        hash.add(labels)
        hash.add(assignees)
        hash.add(count: number)
        hash.add(count: commentCount ?? -1)
        hash.add(createdAt)
        hash.add(updatedAt)
        // The services do not promise an order of links; a new order is no change.
        let links = links.sorted { left, right in
            left.relation == right.relation
                ? left.targetKey.utf8.lexicographicallyPrecedes(right.targetKey.utf8)
                : left.relation.utf8.lexicographicallyPrecedes(right.relation.utf8)
        }
        hash.add(count: links.count)
        for link in links {
            hash.add(link.relation)
            hash.add(link.targetKey)
            hash.add(link.targetExternalID)
        }
        return hash.finalized()
    }
}

extension Comment {
    /// The digest of everything that is stored of the comment.
    package var contentHash: [UInt8] {
        var hash = ContentHash()
        hash.add(externalID)
        hash.add(author)
        hash.add(body)
        hash.add(source)
        hash.add(createdAt)
        hash.add(updatedAt)
        return hash.finalized()
    }
}
