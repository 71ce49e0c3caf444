package import Search
package import Store

extension DatabaseStatus.VectorExtension {
    /// What there is of pgvector, for people, and what that means where vectors are searched so.
    package func lines(for backend: VectorBackend) -> [String] {
        switch self {
        case .otherEngine: []
        case .absent:
            [
                "without pgvector: the server does not have it (on Debian the package "
                    + "postgresql-NN-pgvector); "
                    + (backend == .memory
                        ? "vectors are searched in memory"
                        : "PRELOOP_VECTOR_BACKEND is `pgvector`, so that vectors are not searched "
                            + "until it is there, or the variable is gone")
            ]
        case .available:
            [
                "pgvector is available and not made in this database yet: the first "
                    + "`preloop-sync scan all` makes it, or `preloop doctor --vectors --repair`"
            ]
        case .made(let version): ["pgvector \(version)"]
        }
    }
}
