import BackupModel
import CLibPQ

/// One keyword that libpq knows.
struct ConnectionKeyword: Sendable {
    var name: String
    /// The environment variable libpq reads for it.
    var environmentVariable: String?
    /// The value the environment or the service file gives it, where that differs from libpq's own default.
    var environmentValue: String?
    var isSecret: Bool

    /// All keywords of the libpq in use, with what this process's environment says about them.
    static func all() -> [ConnectionKeyword] {
        guard failureToLoadLibPQ() == nil, let options = unsafe PQconndefaults() else { return [] }
        defer { unsafe PQconninfoFree(options) }
        var keywords: [ConnectionKeyword] = []
        var option = unsafe options
        while let name = unsafe text(option.pointee.keyword) {
            let value = unsafe text(option.pointee.val)
            let builtIn = unsafe text(option.pointee.compiled)
            keywords.append(
                ConnectionKeyword(
                    name: name, environmentVariable: unsafe text(option.pointee.envvar),
                    environmentValue: value == builtIn ? nil : value,
                    isSecret: unsafe text(option.pointee.dispchar) == "*"))
            unsafe option += 1
        }
        return keywords
    }
}

/// Reads a connection URL or keyword string with libpq's own parser.
///
/// The message of a failure may hold secrets.
func parseConninfo(_ conninfo: String) throws(ConninfoFailure) -> [String: String] {
    var message: UnsafeMutablePointer<CChar>?
    guard let options = unsafe PQconninfoParse(conninfo, &message) else {
        defer { unsafe PQfreemem(message) }
        throw ConninfoFailure(message: unsafe text(message) ?? "out of memory")
    }
    defer { unsafe PQconninfoFree(options) }
    var values: [String: String] = [:]
    var option = unsafe options
    while let name = unsafe text(option.pointee.keyword) {
        if let value = unsafe text(option.pointee.val) { values[name] = value }
        unsafe option += 1
    }
    return values
}

struct ConninfoFailure: Error {
    var message: String
}

/// Why libpq cannot be used; `nil` when it can, from then on.
private func failureToLoadLibPQ() -> String? { unsafe text(apex_load_libpq()) }

/// Makes sure that libpq's functions can be called.
func requireLibPQ() throws(BackupError) {
    guard let reason = failureToLoadLibPQ() else { return }
    throw BackupError(
        .toolMissing, "PostgreSQL's client library libpq cannot be loaded.", reason: reason,
        remedy: "Install it (Debian: libpq5).", unchanged: "Nothing was done.")
}
