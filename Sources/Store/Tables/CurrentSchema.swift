/// The schema in which an installation has its tables on PostgreSQL: the first of its search path.
///
/// A name alone is looked for in the whole path, where tables of another installation may be
/// visible as well, and taken for ours. Once ours are there they come first, so that statements may
/// name them as they are.
enum CurrentSchema {
    /// Its `regnamespace`; NULL where no schema of the path exists.
    ///
    /// A cast reads a name as SQL does: one that is not quoted loses its capitals.
    static let namespace: SQL = "to_regnamespace(quote_ident(current_schema()))"

    /// The `regclass` of a table or an index in it; NULL where there is none.
    ///
    /// - Parameter name: Its name, in small letters.
    /// - Returns: The expression.
    static func relation(_ name: String) -> SQL {
        let place = ".\(name)"
        return "to_regclass(quote_ident(current_schema()) || \(place))"
    }
}
