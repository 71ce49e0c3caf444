private import Glibc

/// A readers/writer lock that lets a waiting writer go before new readers, so that a stream of
/// searches cannot keep insertions out.
///
/// Not reentrant.
@safe
struct ReadWriteLock: ~Copyable {
    private let handle: UnsafeMutablePointer<pthread_rwlock_t>

    init() {
        unsafe handle = .allocate(capacity: 1)
        var attributes = pthread_rwlockattr_t()
        unsafe pthread_rwlockattr_init(&attributes)
        unsafe pthread_rwlockattr_setkind_np(
            &attributes,
            Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP)
        )
        let status = unsafe pthread_rwlock_init(handle, &attributes)
        precondition(status == 0, "cannot make a lock")
        unsafe pthread_rwlockattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_rwlock_destroy(handle)
        unsafe handle.deallocate()
    }

    /// Runs `body` beside other readers.
    func read<Result>(_ body: () -> Result) -> Result {
        let status = unsafe pthread_rwlock_rdlock(handle)
        precondition(status == 0, "cannot take a lock for reading")
        defer { unsafe pthread_rwlock_unlock(handle) }
        return body()
    }

    /// Runs `body` alone.
    func write<Result>(_ body: () -> Result) -> Result {
        let status = unsafe pthread_rwlock_wrlock(handle)
        precondition(status == 0, "cannot take a lock for writing")
        defer { unsafe pthread_rwlock_unlock(handle) }
        return body()
    }
}
