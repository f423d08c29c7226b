# Sourced by scripts/bench: the WAL archive, segment by segment, each by a process of its own as archive_command and
# restore_command start it. The segments are real ones, of pgbench on an own server, and in the page cache. Both tools
# sync what they push; nobody syncs what is got. `--replay` measures recovery through `wal get` beside `cp` as well.
# shellcheck shell=bash
# shellcheck disable=SC2004,SC2016,SC2154,SC2164

case $scale in
    full) accounts=3000000 documents=1 replayed=200 segments=${segments:-48} ;;
    small) accounts=300000 documents=1 replayed=12 segments=${segments:-6} ;;
esac

# What `wal push` takes to compress as pgBackRest does, and `wal get` to read ahead or not to: measured if the program
# knows it.
level=() ahead=() alone=()
for command in push get; do
    help=$("$apex" wal $command --help 2>/dev/null) || help=""
    if [[ $help != *"apex-backup wal $command"* ]]; then
        echo "bench: '$apex' has no \`wal $command\`, so there is nothing to measure." >&2
        exit 1
    fi
    if [[ $command$help == push*--compression* ]]; then level=(--compression zstd:3); fi
    if [[ $command$help == get*--prefetch* ]]; then ahead=(--prefetch 8) alone=(--prefetch 0); fi
done

# The server's user runs the program in a recovery, and may not reach where it was built.
mkdir "$out/bin"
install -m 755 "$apex" "$out/bin/apex-backup"
apex=$out/bin/apex-backup

# The segments: `segments` to measure, one more to look at memory with, and what is replayed.
needed=$((segments + 1))
if $replay && ((needed < replayed)); then needed=$replayed; fi
server=$out/server
mkdir "$server"
servers+=("$server")
scratch_start "$server" fsync=off synchronous_commit=off shared_buffers=256MB max_wal_size=64GB checkpoint_timeout=1h \
    autovacuum=off wal_keep_size=$(((needed + 64) * 16))MB
export PGHOST=$server/socket PGUSER=postgres PGDATABASE=postgres
echo "bench: making $needed segments of WAL" >&2
createdb bench
sql -d bench -v accounts="$accounts" -v documents="$documents" -f "$here/bench.sql"
server_folder "$out/base"
as_server_user env PGHOST="$PGHOST" pg_basebackup --username=postgres --pgdata="$out/base" --checkpoint=fast \
    --wal-method=none --no-sync 2>/dev/null
first=$(sed -nE 's/^START WAL LOCATION: .*file ([0-9A-F]{24}).*/\1/p' "$out/base/backup_label")
filled() { sql -c "SELECT floor(pg_wal_lsn_diff(pg_current_wal_lsn(), '$begin') / 16777216)"; }
begin=$(sed -nE 's/^START WAL LOCATION: ([0-9A-F/]+) .*/\1/p' "$out/base/backup_label")
pgbench --no-vacuum --client=4 --time=3600 bench >/dev/null 2>"$out/pgbench" &
load=$!
before=0
while [[ $(filled) -lt $needed ]]; do
    if ! kill -0 "$load" 2>/dev/null; then
        echo "bench: pgbench ended:" >&2
        cat "$out/pgbench" >&2
        exit 1
    fi
    # Often enough that most of the WAL is of whole pages, as it is with a database that is larger than its cache.
    if (($(filled) - before >= 24)); then before=$(filled); sql -c CHECKPOINT; fi
    sleep 0.2
done
kill "$load"
wait "$load" || true
target=$(sql -c "SELECT '$begin'::pg_lsn + ($needed - 1) * 16777216::numeric")
sql -c 'SELECT pg_switch_wal()' >/dev/null
names=()
while read -r name; do names+=("$name"); done < <(
    sql -c "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name >= '$first' ORDER BY name LIMIT $needed"
)

# The repositories, and the settings of both tools. All that follows works without the server.
apex_repository() { # NAME
    mkdir "$out/$1"
    cat >"$out/$1.yaml" <<POLICY
apiVersion: apex-backup/v1
kind: BackupPolicy
metadata: {name: bench}
cluster: {url: "postgresql:///postgres?host=$PGHOST&user=postgres"}
repository: file://$out/$1
POLICY
    "$apex" init --policy "$out/$1.yaml" >/dev/null 2>&1
}
apex_repository default
[[ ${#level[@]} -eq 0 ]] || apex_repository zstd-3
recovering=$out/recovering
cp -a "$out/base" "$recovering"
touch "$recovering/recovery.signal"
mkdir -p "$recovering/pg_wal"
if [[ -n $pgbackrest ]]; then
    mkdir "$out/pgbackrest"
    for data in "$server/data" "$recovering"; do
        cat >"$out/pgbackrest/${data##*/}.conf" <<CONFIGURATION
[global]
repo1-path=$out/pgbackrest/repository
lock-path=$out/pgbackrest/lock
spool-path=$out/pgbackrest/spool
log-level-console=off
log-level-file=off
compress-type=zst
compress-level=3
process-max=2
[bench]
pg1-path=$data
pg1-socket-path=$PGHOST
pg1-user=postgres
pg1-database=postgres
CONFIGURATION
    done
    "$pgbackrest" --config="$out/pgbackrest/data.conf" --stanza=bench stanza-create
fi
scratch_stop "$server" immediate

label=(
    [true]='`/bin/true`: the floor of each figure' [start]='`apex-backup --version`'
    [pgbackrest-start]='`pgbackrest version`' [copy]='`dd conv=fsync`'
    [push]='`apex-backup wal push`, default' [push-3]="\`apex-backup wal push ${level[*]}\`"
    [pgbackrest-push]='`pgbackrest archive-push`, zst 3'
    [get]="\`apex-backup wal get${alone[0]:+ ${alone[*]}}\`" [ahead]="\`apex-backup wal get ${ahead[*]}\`"
    [pgbackrest-get]='`pgbackrest archive-get`' [pgbackrest-ahead]='`pgbackrest archive-get`, async'
    [replay-cp]='`cp`' [replay-get]="\`apex-backup wal get${ahead[0]:+ ${ahead[*]}}\`"
)
cases=(true start pgbackrest-start copy push push-3 pgbackrest-push get pgbackrest-get ahead pgbackrest-ahead)

# one CASE COMMAND…: runs it, and adds to seconds[CASE] and cpu[CASE].
one() {
    local name=$1 start end
    shift
    times >"$out/cpu-before"
    start=$EPOCHREALTIME
    "$@" >"$out/stdout" 2>"$out/stderr" || failed "$name" "$?"
    end=$EPOCHREALTIME
    times >"$out/cpu-after"
    start=${start//[!0-9]/} end=${end//[!0-9]/}
    took[$name]+=" $((10#$start)):$((10#$end)):$(cpu_seconds "$out/cpu-before"):$(cpu_seconds "$out/cpu-after")"
}
failed() { # CASE STATUS
    echo "bench: ${label[$1]} failed with exit status $2:" >&2
    cat "$out/stderr" >&2
    exit 1
}
# look CASE COMMAND…: runs it once more, to see its peak memory.
look() {
    local name=$1 process
    shift
    "$@" >"$out/stdout" 2>"$out/stderr" &
    process=$!
    while [[ -e /proc/$process/exe && ! /proc/$process/exe -ef $apex ]] && kill -0 "$process" 2>/dev/null; do :; done
    while kill -0 "$process" 2>/dev/null; do peak_memory "$name" "$process"; done 2>/dev/null
    wait "$process" || failed "$name" "$?"
}
declare -A took=()

apex_push() { # CASE REPOSITORY SEGMENT OPTION…
    one "$1" "$apex" wal push --policy "$out/$2.yaml" "${@:4}" "pg_wal/$3"
}
peer_push() { # SEGMENT
    one pgbackrest-push "$pgbackrest" --config="$out/pgbackrest/data.conf" --stanza=bench archive-push "pg_wal/$1"
}
echo "bench: pushing $segments segments each" >&2
cd "$server/data"
sync
turn=0
for name in "${names[@]:0:segments}"; do
    one true /bin/true
    one start "$apex" --version
    [[ -z $pgbackrest ]] || one pgbackrest-start "$pgbackrest" version
    one copy dd if="pg_wal/$name" of="$out/copy" bs=1M conv=fsync status=none
    rm "$out/copy"
    # Neither is always the first after the other.
    for case in $(((turn + 0) % 3)) $(((turn + 1) % 3)) $(((turn + 2) % 3)); do
        case $case in
            0) apex_push push default "$name" ;;
            1) [[ ${#level[@]} -eq 0 ]] || apex_push push-3 zstd-3 "$name" "${level[@]}" ;;
            2) [[ -z $pgbackrest ]] || peer_push "$name" ;;
        esac
    done
    turn=$((turn + 1))
done
size=([push]=$(bytes "$out/default/clusters/bench"/*/wal))
[[ ${#level[@]} -eq 0 ]] || size[push-3]=$(bytes "$out/zstd-3/clusters/bench"/*/wal)
[[ -z $pgbackrest ]] || size[pgbackrest-push]=$(find "$out/pgbackrest/repository/archive" -name '*.zst' -printf '%s\n' |
    awk '{ total += $1 } END { print total }')
last=${names[segments]}
look push "$apex" wal push --policy "$out/default.yaml" "pg_wal/$last"

got=pg_wal/RECOVERYXLOG
apex_get() { # CASE SEGMENT OPTION…
    one "$1" "$apex" wal get --repository "file://$out/default" --cluster bench "${@:3}" "$2" "$got"
    whole "$1" "$2"
}
peer_get() { # CASE SEGMENT OPTION…
    one "$1" "$pgbackrest" --config="$out/pgbackrest/recovering.conf" --stanza=bench "${@:3}" archive-get "$2" "$got"
    whole "$1" "$2"
}
whole() { # CASE SEGMENT: what was got is what was pushed
    if ! cmp -s "$got" "$server/data/pg_wal/$2"; then
        echo "bench: ${label[$1]}: $2 is not what was pushed" >&2
        exit 1
    fi
    rm "$got"
}
echo "bench: getting $segments segments each" >&2
cd "$recovering"
sync
for name in "${names[@]:0:segments}"; do
    [[ -z $pgbackrest ]] || peer_get pgbackrest-get "$name"
    apex_get get "$name" "${alone[@]}"
done
look get "$apex" wal get --repository "file://$out/default" --cluster bench "${alone[@]}" "$last" "$got"
whole get "$last"
# One right after the other, as in a recovery that does nothing else: a stall shows. Only beside a server that recovers
# something is read ahead: this shell stands for it.
echo $$ >"$recovering/postmaster.pid"
for ((run = 1; run <= runs && ${#ahead[@]} > 0; run++)); do
    if [[ -n $pgbackrest ]]; then
        for name in "${names[@]:0:segments}"; do peer_get pgbackrest-ahead "$name" --archive-async; done
        stop_processes
        rm -rf "$out/pgbackrest/spool" "$out/pgbackrest/lock"
    fi
    for name in "${names[@]:0:segments}"; do apex_get ahead "$name" "${ahead[@]}"; done
    stop_processes
    rm -rf "$recovering/pg_wal"/.apex-backup
done
rm "$recovering/postmaster.pid"

# What was noted, as seconds: taken apart only now, so that it costs nothing in between.
for name in "${!took[@]}"; do
    seconds[$name]=$(tr ' ' '\n' <<<"${took[$name]# }" | awk -F: '{ printf " %.6f", ($2 - $1) / 1e6 }')
    cpu[$name]=$(tr ' ' '\n' <<<"${took[$name]# }" | awk -F: '{ printf " %.6f", $4 - $3 }')
done

# replay_with CASE COMMAND: recovery of the base backup up to the last of the segments, which ends the server.
replay_with() {
    local name=$1 folder=$out/replay start end
    rm -rf "$folder"
    mkdir "$folder"
    chmod 711 "$folder"
    cp -a "$out/base" "$folder/data"
    server_folder "$folder/socket"
    touch "$folder/data/recovery.signal"
    sync
    start=$EPOCHREALTIME
    as_server_user "$bin/postgres" -D "$folder/data" -k "$folder/socket" -c listen_addresses= -c fsync=off \
        -c shared_buffers=256MB -c max_wal_size=64GB -c checkpoint_timeout=1h -c restore_command="$2" \
        -c recovery_target_timeline=current -c recovery_target_lsn="$target" -c recovery_target_action=shutdown \
        2>"$folder/log" || { tail -n 20 "$folder/log" >&2; exit 1; }
    end=$EPOCHREALTIME
    if ! grep -q 'recovery stopping' "$folder/log"; then
        echo "bench: the recovery by ${label[$name]} did not get to its target:" >&2
        tail -n 20 "$folder/log" >&2
        exit 1
    fi
    echo "bench: replay of $(grep -c 'restored log file' "$folder/log") segments, ${label[$name]}:" \
        "$(shown "$(awk -v a="$start" -v b="$end" 'BEGIN { print b - a }')") s" >&2
    seconds[$name]+=" $(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.6f", b - a }')"
    rm -rf "$folder"
}
if $replay; then
    echo "bench: pushing the rest of $replayed segments" >&2
    cd "$server/data"
    for name in "${names[@]:segments}"; do "$apex" wal push --policy "$out/default.yaml" "pg_wal/$name" >/dev/null; done
    cd /
    mkdir -m 755 "$out/plain"
    for name in "${names[@]}"; do cp "$server/data/pg_wal/$name" "$out/plain/"; done
    chmod -R a+r "$out/plain"
    [[ $EUID -ne 0 ]] || chown -R postgres:postgres "$out/default"
    servers+=("$out/replay")
    for ((run = 1; run <= runs; run++)); do
        replay_with replay-cp "cp '$out/plain/%f' '%p'"
        replay_with replay-get "'$apex' wal get --repository 'file://$out/default' --cluster bench ${ahead[*]} %f %p"
    done
fi

milli() { awk -v value="${1-}" 'BEGIN { if (value == "") print "-"; else printf "%.1f", value * 1000 }'; }
nth() { sorted "${seconds[$1]}" | awk -v part="$2" '{ v[NR] = $1 } END { n = NR * part; if (n > int(n)) n++; print v[int(n)] }'; }
mean() { awk '{ for (n = 1; n <= NF; n++) total += $n; print total / NF }' <<<"$1"; }
declare -A reference=([start]=pgbackrest-start [push]=pgbackrest-push [push-3]=pgbackrest-push [get]=pgbackrest-get
    [ahead]=pgbackrest-ahead)
echo
echo "WAL, $scale: PostgreSQL $(postgres --version | awk '{ print $3 }'), $segments segments of 16 MiB, $(nproc) cores," \
    "${pgbackrest:+$("$pgbackrest" version), }$(date -u +%F), $(load_then_and_now)"
echo
echo "| one process per segment | n | median ms | p95 ms | max ms | x pgBackRest | CPU ms | stored MB | peak MiB, own |"
echo "|---|---|---|---|---|---|---|---|---|"
for name in "${cases[@]}"; do
    [[ -n ${seconds[$name]-} ]] || continue
    beside=${reference[$name]:-none}
    echo "| ${label[$name]} | $(sorted "${seconds[$name]}" | wc -l) | $(milli "$(median "$name")") |" \
        "$(milli "$(nth "$name" 0.95)") | $(milli "$(nth "$name" 1)") |" \
        "$(ratio "$(median "$name")" "${seconds[$beside]:+$(median "$beside")}") | $(milli "$(mean "${cpu[$name]}")") |" \
        "$(mega "${size[$name]-}" 1000000) | $(mega "${own[$name]-}" 1024) |"
done
if $replay; then
    echo
    echo "| replay of $replayed segments | median s | min to max | x \`cp\` |"
    echo "|---|---|---|---|"
    for name in replay-cp replay-get; do
        echo "| ${label[$name]} | $(shown "$(median $name)") | $(spread $name) |" \
            "$(ratio "$(median $name)" "$(median replay-cp)") |"
    done
fi
echo
echo "| Goal | At most | Measured | |"
echo "| --- | --- | --- | --- |"
goal "start, ms" 5 "$(median start)" 0.001
if [[ -n $pgbackrest ]]; then
    times_goal "push, default / pgBackRest zst 3" 0.50 push pgbackrest-push
    times_goal "push, zstd:3 / pgBackRest zst 3" 0.65 push-3 pgbackrest-push
    goal "push, zstd:3: stored / pgBackRest zst 3" 1.05 "${size[push-3]-}" "${size[pgbackrest-push]}"
    times_goal "get / pgBackRest" 0.60 get pgbackrest-get
fi
goal "get, prefetched: ms above the start" 5 \
    "${seconds[ahead]:+$(awk -v a="$(median ahead)" -v b="$(median start)" 'BEGIN { print a - b }')}" 0.001
goal "get, prefetched, no stalls: p95 / median without" 1.00 "${seconds[ahead]:+$(nth ahead 0.95)}" "$(median get)"
if $replay; then times_goal "replay through \`wal get\` / \`cp\`" 1.10 replay-get replay-cp; fi
goal "peak memory of apex-backup's own process, MiB" 128 "$(printf '%s\n' "${own[@]}" | sort -n | tail -n 1)" 1024
