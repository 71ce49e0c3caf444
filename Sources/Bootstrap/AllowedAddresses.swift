import HTTPClient

/// Where requests to addresses that users set may go besides the public Internet.
enum AllowedAddresses {
    /// Reads networks (`10.0.0.0/8`), addresses and host names, separated by commas.
    ///
    /// - Parameters:
    ///   - text: What the variable holds; nil when it is not set.
    ///   - variable: Its name, for the message.
    /// - Returns: The entries, in their order.
    /// - Throws: ``CommandFailure`` for an entry that is none of them, such as a URL.
    static func read(
        _ text: String?,
        variable: String
    ) throws(CommandFailure) -> [String] {
        let entries = list(text)
        for entry in entries
        where AddressRange(entry) == nil && entry.contains(where: { "/: ".contains($0) }) {
            throw CommandFailure(
                .usage,
                "`\(variable)` holds `\(entry)`",
                hint: "name networks such as 10.0.0.0/8, addresses and hosts, separated by commas"
            )
        }
        return entries
    }

    /// What stands between commas, without spaces around it.
    static func list(_ text: String?) -> [String] {
        (text ?? "").split(separator: ",").map { part in
            String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }.filter { !$0.isEmpty }
    }
}
