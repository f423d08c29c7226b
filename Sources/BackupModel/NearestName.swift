/// The name in `names` that `name` is probably meant to be: the one with the fewest letters inserted, left out,
/// replaced or swapped, at most one for every three letters; `nil` if none is as near as that.
package func nearest(to name: String, among names: [String]) -> String? {
    let limit = max(1, name.count / 3)
    var best: (name: String, distance: Int)?
    for candidate in names {
        let distance = editDistance(Array(name), Array(candidate))
        if distance <= min(limit, (best?.distance ?? .max) - 1) { best = (candidate, distance) }
    }
    return best?.name
}

/// Damerau–Levenshtein distance in which no part of a text is edited twice.
private func editDistance(_ from: [Character], _ to: [Character]) -> Int {
    var beforePrevious: [Int] = []
    var previous = Array(0...to.count)
    for row in from.indices {
        var current = [row + 1]
        for column in to.indices {
            let substitution = previous[column] + (from[row] == to[column] ? 0 : 1)
            var distance = min(substitution, previous[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, from[row] == to[column - 1], from[row - 1] == to[column] {
                distance = min(distance, beforePrevious[column - 1] + 1)
            }
            current.append(distance)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[to.count]
}
