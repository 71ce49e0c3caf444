package import Foundation
import Synchronization

/// Ends children with this process, however that ends.
///
/// Programs that tests start would outlive a test process that is killed; they do not even hear
/// SIGTERM, which the thread that started them had blocked. A shell waits for the end of its
/// input, whose other end this process alone holds, and kills the children that are left then.
/// (Linux's own way, `PR_SET_PDEATHSIG`, goes by the thread that started the child, which may end
/// long before the process.)
package final class ChildWatch: Sendable {
    /// The watch of this process; nil where there is no bash, and nothing is watched.
    package static let shared = try? ChildWatch()

    private static let script = """
        trap '' HUP INT QUIT TERM
        # It would keep open what it inherits: the ends of others' pipes, and the socket by whose
        # end Foundation knows that a child has ended.
        for number in /proc/"$BASHPID"/fd/*; do
            number=${number##*/}
            [ "$number" -le 2 ] || eval "exec $number>&-" 2>/dev/null
        done
        declare -A children
        while read -r sign child; do
            case $sign in
                +) children[$child]=1 ;;
                -) unset "children[$child]" ;;
            esac
        done
        if [ "${#children[@]}" -gt 0 ]; then kill -KILL "${!children[@]}"; fi
        """

    private let shell: ChildProcess
    private let isOpen = Mutex(true)

    /// Starts a watch.
    package init() throws {
        shell = try ChildProcess(["bash", "-c", Self.script])
    }

    /// From now on the child ends with this process.
    package func begin(_ child: pid_t) { say("+ \(child)\n") }

    /// The child has ended; its number may be another's soon.
    package func end(_ child: pid_t) { say("- \(child)\n") }

    /// Does what the end of this process does, and waits until it is done.
    package func close() {
        isOpen.withLock { isOpen in
            guard isOpen else { return }
            isOpen = false
            shell.wait()
        }
    }

    private func say(_ line: String) {
        isOpen.withLock { isOpen in
            // So short a line is written whole or not at all.
            if isOpen { shell.write(line) }
        }
    }
}

extension Process {
    /// Starts the program; it ends with this process at the latest.
    package func runWatched() throws {
        // The watch begins before what it watches, of which it then inherits nothing.
        let watch = ChildWatch.shared
        terminationHandler = { watch?.end($0.processIdentifier) }
        try run()
        watch?.begin(processIdentifier)
        // It may have ended before it was noted.
        if !isRunning { watch?.end(processIdentifier) }
    }
}
