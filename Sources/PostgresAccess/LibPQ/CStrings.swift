import Glibc

/// What C points at as text, if it points at any.
func text(_ pointer: UnsafePointer<CChar>?) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    return unsafe String(cString: pointer)
}

/// Lends `strings` as a C array that ends with a null pointer.
func withCStrings<Result>(
    _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    var copies: [UnsafePointer<CChar>?] = unsafe strings.map { string in
        guard let string, let copy = unsafe strdup(string) else { return nil }
        return unsafe UnsafePointer(copy)
    }
    unsafe copies.append(nil)
    defer { for index in unsafe copies.indices { unsafe free(UnsafeMutablePointer(mutating: copies[index])) } }
    return unsafe copies.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("an array that ends with nil is not empty") }
        return unsafe body(base)
    }
}
