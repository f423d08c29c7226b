# Sourced by scripts/bench: logical backup and restore beside pg_dump and pg_restore.
# shellcheck shell=bash
# shellcheck disable=SC2004,SC2016,SC2154

start_database
dump=$server/bench.dump
if [[ ! -e $dump ]]; then
    pg_dump -Fc -f "$dump.part" bench
    mv "$dump.part" "$dump"
fi
export APEX_DATABASE_URL="postgresql:///bench?host=$PGHOST&user=postgres"
restored_url="postgresql:///restored?host=$PGHOST&user=postgres"

policy() { # COMPRESSION VERIFY: a new repository with this policy
    rm -rf "$out/repository-$1"
    mkdir "$out/repository-$1"
    cat >"$out/policy-$1.yaml" <<POLICY
apiVersion: apex-backup/v1
kind: BackupPolicy
metadata: {name: bench}
cluster: {url: "env:APEX_DATABASE_URL"}
repository: file://$out/repository-$1
backup:
  logical: {databases: [bench], compression: $1, verify_dump: $2}
POLICY
    "$apex" init --policy "$out/policy-$1.yaml" >/dev/null 2>&1
}
stored() { bytes "$out/repository-$1"/clusters/*/backups; }

label=(
    [bare]='`pg_dump -Fc -Z0 > /dev/null`' [gzip]='`pg_dump \| gzip -6`' [pigz]='`pg_dump \| pigz`'
    [zstd]='`pg_dump \| zstd -3`' [igzip]='`pg_dump -Fc -Z0 \| igzip -1`' [directory]='`pg_dump -Fd -j2`'
    [apex-gzip-list]='`apex-backup backup`, gzip, list' [apex-gzip-full]='`apex-backup backup`, gzip, full'
    [apex-zstd-list]='`apex-backup backup`, zstd, list' [apex-zstd-full]='`apex-backup backup`, zstd, full'
    [load]='`gunzip \| psql`' [pg_restore]='`pg_restore -Fc -j2`'
    [restore-gzip]='`apex-backup restore`, gzip, whole' [restore-zstd]='`apex-backup restore`, zstd, whole'
    [phase-gzip]='`apex-backup restore`, gzip, restore phase' [phase-zstd]='`apex-backup restore`, zstd, restore phase'
)
backups=(bare igzip gzip pigz zstd directory apex-gzip-list apex-gzip-full apex-zstd-list apex-zstd-full)
restores=(load pg_restore restore-gzip restore-zstd phase-gzip phase-zstd)

bare() { pg_dump -Fc -Z0 bench >/dev/null; }
to_igzip() { pg_dump -Fc -Z0 bench | igzip -1 >"$out/igzip.dump.gz"; }
to_gzip() { pg_dump bench | gzip -6 >"$out/gzip.sql.gz"; }
to_pigz() { pg_dump bench | pigz >"$out/pigz.sql.gz"; }
to_zstd() { pg_dump bench | zstd -q -3 -f -o "$out/zstd.sql.zst"; }
for ((run = 1; run <= runs; run++)); do
    timed bare bare
    timed igzip to_igzip
    # Half a minute each, and steady: a third of the runs.
    if ((run % 3 == 1)); then timed gzip to_gzip; fi
    timed pigz to_pigz
    timed zstd to_zstd
    rm -rf "$out/directory"
    timed directory pg_dump -Fd -j2 -f "$out/directory" bench
    for compression in gzip zstd; do
        for verify in list full; do
            policy $compression $verify
            timed apex-$compression-$verify "$apex" backup --policy "$out/policy-$compression.yaml"
            size[apex-$compression-$verify]=$(stored $compression)
        done
    done
done
size[igzip]=$(bytes "$out/igzip.dump.gz")
size[gzip]=$(bytes "$out/gzip.sql.gz") size[pigz]=$(bytes "$out/pigz.sql.gz") size[zstd]=$(bytes "$out/zstd.sql.zst")
size[directory]=$(bytes "$out/directory")

rows() { sql -d "$1" -c 'SELECT (SELECT count(*) FROM pgbench_accounts) + (SELECT count(*) FROM documents)'; }
expected=$(rows bench)
load() { gunzip -c "$out/gzip.sql.gz" | psql -X -q -v ON_ERROR_STOP=1 -d restored; }
restore_into() { # new|absent CASE COMMAND…: into a new database, or with none there; then its rows are counted
    sql -c 'DROP DATABASE IF EXISTS restored'
    [[ $1 == absent ]] || createdb restored
    shift
    timed "$@"
    if [[ $(rows restored) != "$expected" ]]; then
        echo "bench: ${label[$1]} restored other rows than there were" >&2
        exit 1
    fi
}
for ((run = 1; run <= runs; run++)); do
    restore_into new load load
    restore_into new pg_restore pg_restore -j2 -d restored "$dump"
    for compression in gzip zstd; do
        restore_into absent restore-$compression \
            "$apex" restore latest --policy "$out/policy-$compression.yaml" --to "$restored_url" --json
        phase=$(jq -r '[.phases[]? | select(.name == "restore") | .seconds] | add // empty' "$out/stdout")
        [[ -z $phase ]] || seconds[phase-$compression]+=" $phase"
    done
done
sql -c 'DROP DATABASE restored'

database=$(sql -c "SELECT round(pg_database_size('bench') / 1e6)")
echo
echo "Logical, $scale: PostgreSQL $(sql -c 'SHOW server_version'), database $database MB, $(nproc) cores, $(date -u +%F)"
echo
echo "| backup | median s | min to max | runs | x bare | x gzip -6 | stored MB | x gzip -6's | peak MiB, all | peak MiB, own |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for name in "${backups[@]}"; do
    echo "| ${label[$name]} | $(shown "$(median "$name")") | $(spread "$name") |" \
        "$(sorted "${seconds[$name]}" | wc -l) | $(ratio "$(median "$name")" "$(median bare)") |" \
        "$(ratio "$(median "$name")" "$(median gzip)") | $(mega "${size[$name]-}" 1000000) |" \
        "$(ratio "${size[$name]-}" "${size[gzip]}") |" \
        "$(mega "${memory[$name]}" 1024) | $(mega "${own[$name]-}" 1024) |"
done
echo
echo "| restore | median s | min to max | x gunzip to psql | x pg_restore -j2 | peak MiB, all | peak MiB, own |"
echo "|---|---|---|---|---|---|---|"
for name in "${restores[@]}"; do
    [[ -n ${seconds[$name]-} ]] || continue
    echo "| ${label[$name]} | $(shown "$(median "$name")") | $(spread "$name") |" \
        "$(ratio "$(median "$name")" "$(median load)") | $(ratio "$(median "$name")" "$(median pg_restore)") |" \
        "$(mega "${memory[$name]-}" 1024) | $(mega "${own[$name]-}" 1024) |"
done

echo
echo "| Goal | At most | Measured | |"
echo "| --- | --- | --- | --- |"
times_goal "gzip, list: time / \`pg_dump -Fc -Z0\`" 1.30 apex-gzip-list bare
times_goal "gzip, list: time / \`pg_dump \| gzip -6\`" 0.1667 apex-gzip-list gzip
times_goal "zstd, list: time / \`pg_dump -Fc -Z0\`" 1.15 apex-zstd-list bare
times_goal "gzip, full: time / \`pg_dump -Fc -Z0\`" 1.50 apex-gzip-full bare
times_goal "zstd, full: time / \`pg_dump -Fc -Z0\`" 1.50 apex-zstd-full bare
goal "gzip: stored / \`gzip -6\`" 1.15 "${size[apex-gzip-full]}" "${size[gzip]}"
goal "zstd: stored / \`gzip -6\`" 1.15 "${size[apex-zstd-full]}" "${size[gzip]}"
for compression in gzip zstd; do
    times_goal "$compression: restore phase / \`pg_restore -Fc -j2\`" 1.00 phase-$compression pg_restore
    times_goal "$compression: whole restore / \`pg_restore -Fc -j2\`" 1.30 restore-$compression pg_restore
done
goal "peak memory of apex-backup's own process, MiB" 64 "$(printf '%s\n' "${own[@]}" | sort -n | tail -n 1)" 1024
