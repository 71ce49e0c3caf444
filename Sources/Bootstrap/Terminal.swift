import Glibc

/// The terminal the person sits at.
package enum Terminal {
    /// Whether standard error, where progress is shown, is a terminal.
    package static var showsProgress: Bool { isatty(STDERR_FILENO) == 1 }

    /// The terminal's columns; 80 when it does not say.
    package static var columns: Int {
        var size = winsize()
        guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return 80
        }
        return Int(size.ws_col)
    }

    /// Whether somebody can be asked: input and errors are a terminal.
    package static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

    /// Asks for a yes; whatever else is typed, and the end of the input, is a no.
    package static func confirms(_ question: String) -> Bool {
        standardErrorRaw("\(question) [y/N] ")
        let answer = readLine()?.lowercased() ?? ""
        return answer == "y" || answer == "yes"
    }

    /// Asks for a line without showing what is typed.
    ///
    /// Ctrl-C arrives as a character and not as a signal, which would end the process and leave
    /// the terminal without echo; so the line is put together here, key by key. Signals from
    /// elsewhere wait until the terminal is as it was.
    ///
    /// - Parameters:
    ///   - noun: What is asked for, `token` or `password`; options that end in `-env` and `-file`
    ///     give it otherwise.
    ///   - prompt: What is shown.
    /// - Returns: The line without its end.
    /// - Throws: ``CommandFailure`` when there is no terminal, the input ends, Ctrl-C is typed, or
    ///   a signal ends the waiting.
    static func readSecret(_ noun: String, prompt: String) throws(CommandFailure) -> String {
        let descriptor = unsafe open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0, isatty(descriptor) == 1 else {
            if descriptor >= 0 { close(descriptor) }
            throw CommandFailure(
                .usage,
                "there is no terminal to ask for the \(noun)",
                hint: "use --\(noun)-env or --\(noun)-file"
            )
        }
        defer { close(descriptor) }
        var settings = termios()
        guard unsafe tcgetattr(descriptor, &settings) == 0 else {
            throw CommandFailure(.failure, "cannot switch off the terminal's echo")
        }
        let signals = try SignalPipe([SIGHUP, SIGINT, SIGQUIT, SIGTERM])
        defer { signals.close() }
        let before = settings
        settings.c_lflag &= ~tcflag_t(ECHO | ISIG | ICANON)
        unsafe withUnsafeMutableBytes(of: &settings.c_cc) { characters in
            unsafe characters[Int(VMIN)] = 1
            unsafe characters[Int(VTIME)] = 0
        }
        guard unsafe tcsetattr(descriptor, TCSAFLUSH, &settings) == 0 else {
            throw CommandFailure(.failure, "cannot switch off the terminal's echo")
        }
        defer {
            var before = before
            _ = unsafe tcsetattr(descriptor, TCSAFLUSH, &before)
        }
        write(prompt, to: descriptor)
        defer { write("\n", to: descriptor) }
        return try line(from: descriptor, until: signals, orElse: "no \(noun) was given")
    }

    private static func line(
        from descriptor: Int32,
        until signals: SignalPipe,
        orElse what: String
    ) throws(CommandFailure) -> String {
        var bytes: [UInt8] = []
        while bytes.count < 65_536 {
            var questions = [descriptor, signals.readEnd].map { descriptor in
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            }
            // EINTR is the signal whose byte the next round finds.
            guard unsafe poll(&questions, 2, -1) > 0 else { continue }
            guard questions[1].revents == 0 else {
                throw CommandFailure(.interrupted, what, reason: "interrupted")
            }
            var byte: UInt8 = 0
            let count = unsafe read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { throw CommandFailure(.interrupted, what) }
            switch byte {
            // Ctrl-C, Ctrl-D and Ctrl-\.
            case 3, 4, 28: throw CommandFailure(.interrupted, what)
            case 10, 13: return String(decoding: bytes, as: UTF8.self)
            case 8, 127: _ = bytes.popLast()
            case 21: bytes.removeAll()
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
    }
}
