package import Glibc

/// Where an installation's files are.
package struct HomeDirectory: Sendable {
    /// The directory, absolute, without a final slash.
    package let path: String

    /// The directory at `path`, which need not exist.
    package init(_ path: String) {
        self.path = path
    }

    /// The store, when it is SQLite.
    package var database: String { path + "/preloop.db" }
    /// What can be rebuilt from the store: snapshot and lexical index.
    package var indexes: String { path + "/index" }
    /// Models that were fetched.
    package var models: String { path + "/models" }

    /// Whether there is an installation.
    package var exists: Bool { unsafe access(database, F_OK) == 0 }

    /// Makes the directory and its parents, mode 0700; an existing one is left as it is.
    package func create() throws(CommandFailure) {
        var prefix = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            prefix += "/" + part
            guard unsafe mkdir(prefix, 0o700) == 0 || errno == EEXIST || errno == EISDIR else {
                let code = errno
                // A parent that exists on a read-only or foreign file system is refused before it
                // is found to exist.
                if unsafe access(prefix, F_OK) == 0 { continue }
                throw CommandFailure(
                    .failure,
                    "cannot make the directory `\(prefix)`",
                    reason: unsafe String(cString: strerror(code)),
                    hint: "set `PRELOOP_HOME` to a directory this user can write"
                )
            }
        }
    }

    /// The permission bits of a file of the installation; nil when it does not exist.
    package static func mode(of path: String) -> mode_t? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return status.st_mode & 0o777
    }
}
