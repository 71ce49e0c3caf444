extension StoreError {
    /// Whether the same call may succeed later without anyone doing anything.
    package var isRetryable: Bool {
        switch self {
        case .busy, .leaseHeld, .disconnected, .timedOut: true
        case .newerSchema, .corrupt, .diskFull, .readOnly, .constraint, .unexpectedValue,
            .leaseLost,
            .undecryptable, .unavailable, .statement, .cancelled:
            false
        }
    }

    /// What an operator can do about it; nil when there is nothing to say beyond the message.
    package var hint: String? {
        switch self {
        case .newerSchema: "install the newer Preloop, or give this one another database"
        case .corrupt:
            "put back a backup of the database, or move it away and scan again; "
                + "everything but verdicts and trackers is read anew"
        case .diskFull: "free space on the disk of the database and run the command again"
        case .readOnly: "give this user the right to write the database"
        case .busy: "another process is writing; try again"
        case .leaseHeld: "wait until it has finished, or stop that process"
        case .leaseLost: "run the command again; it goes on where it stopped"
        case .undecryptable:
            "use the secret.key or SECRET_KEY it was stored with, or remove and add the tracker"
        case .disconnected:
            "see that the database server runs and that DATABASE_URL and PG* say where; try again"
        case .timedOut: "the database server is overloaded or locked; try again"
        case .unavailable(let detail), .statement(let detail):
            PostgresRefusal(message: detail)?.hint
        case .constraint, .unexpectedValue, .cancelled: nil
        }
    }
}

extension StoreError: CustomStringConvertible {
    /// One line for the operator, without bound values.
    package var description: String {
        switch self {
        case .newerSchema(let found, let supported):
            "the database has schema \(found), this Preloop knows schemas up to \(supported)"
        case .corrupt(let detail): "the database is damaged or not one of ours: \(detail)"
        case .diskFull: "no space is left for the database"
        case .readOnly: "the database cannot be written"
        case .busy: "the database is held by another process"
        case .constraint(let detail): "the database refuses the row: \(detail)"
        case .unexpectedValue(let column): "unexpected value in column `\(column)`"
        case .leaseHeld(let name, let holder): "`\(name)` is being done by \(holder)"
        case .leaseLost(let name): "another process has taken over `\(name)`"
        case .undecryptable(let name): "\(name) cannot be decrypted with the present key"
        case .unavailable(let detail), .disconnected(let detail): detail
        case .timedOut: "the database took too long over a statement"
        case .cancelled: "cancelled"
        case .statement(let detail): "the database refuses a statement: \(detail)"
        }
    }
}
