/// Who signs requests.
///
/// Neither the secret nor the token ever stands in a text of this program.
package struct AWSCredentials: Sendable, Hashable {
    package let accessKey: String
    package let secretKey: String
    /// The token that goes with credentials that expire.
    package let sessionToken: String?
    /// When they are of no more use; `nil` if never.
    package let expiry: Timestamp?

    package init(accessKey: String, secretKey: String, sessionToken: String? = nil, expiry: Timestamp? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken?.isEmpty == true ? nil : sessionToken
        self.expiry = expiry
    }

    /// How long before their end credentials are renewed: a request that takes long must not outlive them.
    package static let renewal: Duration = .seconds(5 * 60)

    /// Whether they have to be renewed at `now`.
    package func areDue(at now: Timestamp) -> Bool {
        guard let expiry else { return false }
        return expiry.since(now) < Self.renewal
    }

    /// Whether they are of no use any more at `now`.
    package func areExpired(at now: Timestamp) -> Bool {
        guard let expiry else { return false }
        return expiry <= now
    }
}

extension AWSCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The access key's name, and nothing secret.
    package var description: String { "credentials of the access key \(accessKey)" }
    /// The same.
    package var debugDescription: String { description }
    /// Nothing: a dump of it shows no secret.
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
