import Glibc

/// Who runs the process, by the machine's own account of it.
///
/// Whatever the environment says anybody may have set: a second `USER` is no second person.
package enum LocalUser {
    /// The name of the effective user; `uid-1000` where the machine has none for it.
    package static let name: String = {
        let number = geteuid()
        // Asked once: what it answers with lies in memory that the next question overwrites.
        guard let entry = unsafe getpwuid(number), let text = unsafe entry.pointee.pw_name else {
            return "uid-\(number)"
        }
        let name = unsafe String(cString: text)
        return name.isEmpty ? "uid-\(number)" : name
    }()
}
