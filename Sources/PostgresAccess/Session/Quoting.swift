internal import BackupModel

/// `value` in a keyword string of libpq.
package func quoteConninfoValue(_ value: String) -> String {
    "'\(value.escaping(["\\": "\\\\", "'": "\\'"]))'"
}
