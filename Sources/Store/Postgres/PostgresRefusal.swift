/// What PostgreSQL refuses to somebody who sets it up, and what mends it.
///
/// Known by its text: libpq tells no SQLSTATE of a connection that was not made. A server that
/// speaks another language is refused without advice.
enum PostgresRefusal: CaseIterable {
    case unclearAddress
    case missingDatabase
    case missingRole
    case wrongPassword
    case noPassword
    case otherUser
    case noAccess
    case rejectedAccess
    case noConnecting
    case noLogin
    case noTLS
    case foreignTables
    /// Since PostgreSQL 15 only the owner of a database may make tables in its schema `public`.
    case foreignSchema

    /// The refusal that a message of the server or of libpq tells of; nil for any other.
    init?(message: String) {
        let match = Self.allCases.first { refusal in
            refusal.marks.allSatisfy { message.contains($0) }
        }
        guard let match else { return nil }
        self = match
    }

    /// What the message contains.
    private var marks: [String] {
        switch self {
        case .unclearAddress: ["`DATABASE_URL` is not understood"]
        case .missingDatabase: ["FATAL:", "database \"", "\" does not exist"]
        case .missingRole: ["FATAL:", "role \"", "\" does not exist"]
        case .wrongPassword: ["password authentication failed"]
        case .noPassword: ["no password supplied"]
        case .otherUser: ["Peer authentication failed"]
        case .noAccess: ["no pg_hba.conf entry"]
        case .rejectedAccess: ["pg_hba.conf rejects connection"]
        case .noConnecting: ["FATAL:", "permission denied for database"]
        case .noLogin: ["FATAL:", "is not permitted to log in"]
        case .noTLS: ["server does not support SSL"]
        case .foreignTables: ["permission denied for table"]
        case .foreignSchema: ["permission denied for schema"]
        }
    }

    /// One line for the operator.
    var hint: String {
        switch self {
        case .unclearAddress:
            "write `postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE`, and in a password or a name "
                + "`%40` for an @, `%2F` for a /, `%3A` for a :, `%25` for a %"
        case .missingDatabase:
            "make it as an administrator of the server, `createdb -O ROLE DATABASE`, or correct "
                + "the name in `DATABASE_URL`; without one it is the name of the role"
        case .missingRole:
            "make it as an administrator of the server, `createuser ROLE --pwprompt`, or correct "
                + "the name in `DATABASE_URL`; without one it is that of this system's user"
        case .wrongPassword:
            "correct role and password in `DATABASE_URL` or `PGPASSWORD`, with `%40` for an @ in "
                + "an address; `\\password ROLE` in psql sets another one"
        case .noPassword:
            "put the role's password into `DATABASE_URL` (`postgresql://ROLE:PASSWORD@HOST/…`), "
                + "`PGPASSWORD` or the file ~/.pgpass"
        case .otherUser:
            "the server's socket lets in only the system's user of the same name: run as that "
                + "user, or name a host and a password (`postgresql://ROLE:PASSWORD@localhost/…`)"
        case .noAccess:
            "let the administrator add a line for this role, database and host to the server's "
                + "pg_hba.conf"
        case .rejectedAccess:
            "the server's pg_hba.conf shuts this role, database, host or way of connecting out: "
                + "try `sslmode=require`, or ask the administrator"
        case .noConnecting:
            "as an administrator, `GRANT CONNECT ON DATABASE … TO ROLE`"
        case .noLogin:
            "as an administrator, `ALTER ROLE … LOGIN`, or name another role in `DATABASE_URL`"
        case .noTLS:
            "turn TLS on in the server (`ssl = on`); on this machine or a network you trust, "
                + "`sslmode=prefer` in `DATABASE_URL` or `PGSSLMODE` does without"
        case .foreignTables:
            "the tables are another role's: name in `DATABASE_URL` the one that made the "
                + "installation (`\\dt` in psql tells it)"
        case .foreignSchema:
            "since PostgreSQL 15 only a database's owner may make tables in it: as an "
                + "administrator, `ALTER DATABASE … OWNER TO ROLE`, or in that database "
                + "`GRANT USAGE, CREATE ON SCHEMA public TO ROLE`"
        }
    }
}
