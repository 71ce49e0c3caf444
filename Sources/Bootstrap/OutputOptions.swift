import ArgumentParser

/// `--json`, on every command that has a result.
package struct OutputOptions: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Write one JSON object instead of text.")
    package var isJSON = false

    /// The defaults.
    package init() {}
}
