# Sourced by scripts that compile.
# shellcheck shell=bash

# swift_build ARGUMENT…: runs `swift build`, and removes the folders that the compiler leaves in TMPDIR.
swift_build() {
    local status=0
    mkdir -p .build/tmp
    TMPDIR=$PWD/.build/tmp swift build "$@" </dev/null || status=$?
    rm -rf .build/tmp/TemporaryDirectory.*
    return "$status"
}
