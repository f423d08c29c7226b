# Sourced by scripts/bench: backup and restore of the whole cluster beside pg_basebackup and pgBackRest. The server is
# idle, page caches are warm for all (nothing is dropped; each case begins after a checkpoint and a sync), every tool
# syncs what it writes, two processes or workers each. What pgBackRest waits for, the archiving of the WAL that the
# backup needs, is part of its time and size, as the WAL that apex-backup streams is of its own.
# shellcheck shell=bash
# shellcheck disable=SC2004,SC2016,SC2154

# What the server does with a finished segment: nothing, but for the backups of pgBackRest.
archive=$out/pgbackrest-archive
archive_with() { # SHELL COMMAND, which finds the segment's path in $wal
    local attempt
    for ((attempt = 0; attempt < 300; attempt++)); do
        [[ -z $(find "$server/data/pg_wal/archive_status" -name '*.ready' 2>/dev/null) ]] && break
        sleep 0.1
    done
    echo "$1" >"$archive.new"
    chmod 644 "$archive.new"
    mv "$archive.new" "$archive"
}
server=""
echo : >"$archive"
chmod 644 "$archive"
start_database archive_mode=on "archive_command=wal=%p; . $archive"
export APEX_DATABASE_URL="postgresql:///bench?host=$PGHOST&user=postgres"
# A file that is in the page cache is not read again.
sql -d bench -c 'SELECT count(*) FROM pgbench_accounts' -c 'SELECT count(*) FROM documents' >/dev/null
rows() { sql -d bench -c 'SELECT (SELECT count(*) FROM pgbench_accounts) + (SELECT count(*) FROM documents)'; }
expected=$(rows)

label=(
    [server-zstd-1]='`pg_basebackup -Ft`, server-zstd:1' [server-zstd-3]='`pg_basebackup -Ft`, server-zstd:3,workers=2'
    [plain]='`pg_basebackup -Fp`'
    [pgbackrest-1]='pgBackRest, process-max=2, zst 1' [pgbackrest-3]='pgBackRest, process-max=2, zst 3'
    [apex-1]='`apex-backup backup`, 2 jobs, zstd:1' [apex-3]='`apex-backup backup`, 2 jobs, zstd:3'
    [pgbackrest-restore-1]='pgBackRest, process-max=2, zst 1' [pgbackrest-restore-3]='pgBackRest, process-max=2, zst 3'
    [apex-restore-1]='`apex-backup restore`, 2 jobs, zstd:1' [apex-restore-3]='`apex-backup restore`, 2 jobs, zstd:3'
)
backups=(server-zstd-1 server-zstd-3 plain pgbackrest-1 pgbackrest-3 apex-1 apex-3)
restores=(pgbackrest-restore-1 pgbackrest-restore-3 apex-restore-1 apex-restore-3)

base_backup() { # CASE OPTION…
    rm -rf "$out/base"
    timed "$1" pg_basebackup --pgdata="$out/base" --checkpoint=fast "${@:2}"
    size[$1]=$(bytes "$out/base")
    rm -rf "$out/base"
}

# pgBackRest runs as the server's user, whose archive_command writes to the same repository.
peer() { # LEVEL ARGUMENT…
    as_server_user "$pgbackrest" --config="$out/pgbackrest/$1.conf" --stanza=bench "${@:2}"
}
if [[ -n $pgbackrest ]]; then
    server_folder "$out/pgbackrest"
    for level in 1 3; do
        cat >"$out/pgbackrest/$level.conf" <<CONFIGURATION
[global]
repo1-path=$out/pgbackrest/repository-$level
repo1-retention-full=9
lock-path=$out/pgbackrest/lock
log-level-console=off
log-level-file=off
process-max=2
compress-type=zst
compress-level=$level
start-fast=y
[bench]
pg1-path=$server/data
pg1-socket-path=$PGHOST
pg1-user=postgres
pg1-database=postgres
CONFIGURATION
        chmod 644 "$out/pgbackrest/$level.conf"
    done
fi
peer_backup() { # LEVEL
    archive_with :
    rm -rf "$out/pgbackrest/repository-$1"
    peer "$1" stanza-create
    archive_with "exec '$pgbackrest' --config='$out/pgbackrest/$1.conf' --stanza=bench archive-push \"\$wal\""
    timed "pgbackrest-$1" peer "$1" --type=full backup
    archive_with :
    size[pgbackrest-$1]=$(bytes "$out/pgbackrest/repository-$1")
}

apex_backup() { # LEVEL
    rm -rf "$out/repository-$1"
    mkdir "$out/repository-$1"
    cat >"$out/policy-$1.yaml" <<POLICY
apiVersion: apex-backup/v1
kind: BackupPolicy
metadata: {name: bench}
cluster: {url: "env:APEX_DATABASE_URL"}
repository: file://$out/repository-$1
backup: {jobs: 2, physical: {compression: "zstd:$1", checkpoint: fast}}
POLICY
    "$apex" init --policy "$out/policy-$1.yaml" >/dev/null 2>&1
    timed "apex-$1" "$apex" backup --kind physical --policy "$out/policy-$1.yaml"
    size[apex-$1]=$(bytes "$out/repository-$1")
}

# restore_into CASE COMMAND…: into an empty directory of the server's user; then a server is started on it, and its rows
# are counted.
restored=$out/restored
servers+=("$restored")
restore_into() {
    local found
    rm -rf "$restored"
    mkdir "$restored"
    server_folder "$restored/data"
    server_folder "$restored/socket"
    timed "$@"
    scratch_start "$restored" archive_mode=off fsync=off
    found=$(PGHOST=$restored/socket rows)
    scratch_stop "$restored" immediate
    if [[ $found != "$expected" ]]; then
        echo "bench: ${label[$1]}: the restored server has other rows than there were" >&2
        exit 1
    fi
    rm -rf "$restored"
}

for ((run = 1; run <= runs; run++)); do
    base_backup server-zstd-1 --format=tar --compress=server-zstd:level=1
    base_backup server-zstd-3 --format=tar --compress=server-zstd:level=3,workers=2
    base_backup plain --format=plain
    for level in 1 3; do
        [[ -z $pgbackrest ]] || peer_backup $level
        apex_backup $level
    done
    for level in 1 3; do
        if [[ -n $pgbackrest ]]; then
            restore_into pgbackrest-restore-$level peer $level --pg1-path="$restored/data" restore
        fi
        restore_into apex-restore-$level "$apex" restore latest --policy "$out/policy-$level.yaml" --jobs 2 \
            --to immediate --to "$restored/data" --stage-wal
    done
done

cluster=$(bytes "$server/data/base" "$server/data/global" | awk '{ printf "%.0f", $1 / 1e6 }')
echo
echo "Physical, $scale: PostgreSQL $(sql -c 'SHOW server_version'), cluster $cluster MB, $(nproc) cores," \
    "${pgbackrest:+$("$pgbackrest" version), }$(date -u +%F), $(load_then_and_now)"
echo
echo "| backup | median s | min to max | runs | x server-zstd:1 | x pgBackRest | stored MB | x pgBackRest's | CPU s |" \
    "server's CPU s | peak MiB, all | peak MiB, own |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
for name in "${backups[@]}"; do
    [[ -n ${seconds[$name]-} ]] || continue
    beside=pgbackrest-${name##*-}
    echo "| ${label[$name]} | $(shown "$(median "$name")") | $(spread "$name") | $runs |" \
        "$(ratio "$(median "$name")" "$(median server-zstd-1)") |" \
        "$(ratio "$(median "$name")" "${seconds[$beside]:+$(median "$beside")}") |" \
        "$(mega "${size[$name]}" 1000000) | $(ratio "${size[$name]}" "${size[$beside]-}") |" \
        "$(shown "$(median_of "${cpu[$name]}")") | $(shown "$(median_of "${served[$name]}")") |" \
        "$(mega "${memory[$name]}" 1024) | $(mega "${own[$name]-}" 1024) |"
done
echo
echo "| restore | median s | min to max | runs | x pgBackRest | CPU s | peak MiB, all | peak MiB, own |"
echo "|---|---|---|---|---|---|---|---|"
for name in "${restores[@]}"; do
    [[ -n ${seconds[$name]-} ]] || continue
    beside=pgbackrest-restore-${name##*-}
    echo "| ${label[$name]} | $(shown "$(median "$name")") | $(spread "$name") | $runs |" \
        "$(ratio "$(median "$name")" "${seconds[$beside]:+$(median "$beside")}") |" \
        "$(shown "$(median_of "${cpu[$name]}")") |" \
        "$(mega "${memory[$name]}" 1024) | $(mega "${own[$name]-}" 1024) |"
done
echo
echo "x pgBackRest is at the same level (\`-Fp\`: none)."
echo
echo "| Goal | At most | Measured | |"
echo "| --- | --- | --- | --- |"
times_goal "zstd:1: backup / \`pg_basebackup\` server-zstd:1" 1.00 apex-1 server-zstd-1
if [[ -n $pgbackrest ]]; then
    times_goal "zstd:1: backup / pgBackRest zst 1" 0.60 apex-1 pgbackrest-1
    times_goal "zstd:3: backup / pgBackRest zst 3" 0.65 apex-3 pgbackrest-3
    for level in 1 3; do
        goal "zstd:$level: stored / pgBackRest zst $level" 1.05 "${size[apex-$level]}" "${size[pgbackrest-$level]}"
    done
    for level in 1 3; do
        times_goal "zstd:$level: restore / pgBackRest zst $level" 0.80 apex-restore-$level pgbackrest-restore-$level
    done
fi
goal "peak memory of apex-backup's own process, MiB" 128 "$(printf '%s\n' "${own[@]}" | sort -n | tail -n 1)" 1024
