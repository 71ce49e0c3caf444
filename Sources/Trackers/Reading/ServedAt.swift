import Domain
import HTTPClient

extension HTTPResponse {
    /// When the service made the answer, by its own `Date` line.
    var servedAt: Timestamp? {
        headers["Date"].flatMap { secondsSinceEpoch(httpDate: $0) }
            .map { Timestamp(milliseconds: $0 * 1000) }
    }
}
