# Sourced by scripts that need a PostgreSQL of their own: makes, starts and stops a server that listens on a Unix
# socket only. PostgreSQL refuses to run as root, so root runs it as user postgres.
# shellcheck shell=bash

as_server_user() {
    if [[ $EUID -eq 0 ]]; then
        (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@")
    else
        (cd / && exec "$@")
    fi
}

# Prints the folder of the newest PostgreSQL server programs on this machine.
postgres_bin() {
    local bin
    bin=$({ pg_config --bindir || true; ls -d /usr/lib/postgresql/*/bin || true; } 2>/dev/null | sort -rV | while read -r bin; do
        if [[ -x $bin/initdb ]]; then echo "$bin"; break; fi
    done)
    if [[ -z $bin ]]; then
        echo "No PostgreSQL server programs found (pg_config, /usr/lib/postgresql/*/bin). Run scripts/setup." >&2
        return 1
    fi
    echo "$bin"
}

# scratch_folder NAME [PARENT]: makes a folder that nothing has used before, its name ending in NAME, and prints its path.
scratch_folder() { mktemp -d -p "${2:-${TMPDIR:-/tmp}}" --suffix=".$1"; }

# scratch_start FOLDER [SETTING=VALUE]…: a server in FOLDER/data, its socket in FOLDER/socket. A server that was made
# there before is started again.
scratch_start() {
    local folder=$1 bin setting settings=()
    shift
    bin=$(postgres_bin)
    chmod 711 "$folder"
    if ! as_server_user test -x "$folder"; then
        echo "The user that PostgreSQL runs as cannot enter '$folder'. Set TMPDIR to a folder open to it." >&2
        return 1
    fi
    if [[ ! -d $folder/data ]]; then
        mkdir -m 700 "$folder/data" "$folder/socket"
        [[ $EUID -ne 0 ]] || chown postgres:postgres "$folder/data" "$folder/socket"
        as_server_user "$bin/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --data-checksums \
            --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    fi
    for setting in "$@"; do settings+=(-c "'$setting'"); done
    if ! as_server_user "$bin/pg_ctl" start -w -s -D "$folder/data" -l "$folder/socket/log" \
        -o "-c listen_addresses='' -k '$folder/socket' ${settings[*]}" </dev/null; then
        as_server_user tail -n 20 "$folder/socket/log" >&2
        return 1
    fi
}

# scratch_stop FOLDER MODE: stops its server, if one runs.
scratch_stop() {
    [[ -e $1/data/postmaster.pid ]] || return 0
    as_server_user "$(postgres_bin)/pg_ctl" stop -w -s -D "$1/data" -m "$2"
}

# start_apex FOLDER BINARY: a scratch server with the example database `apex`, and the environment in which
# `apex-backup` (BINARY) backs it up to a repository in FOLDER. Nothing of the caller's own settings remains.
start_apex() {
    local folder=$1 here
    here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
    unset "${!PG@}" "${!APEX_@}"
    scratch_start "$folder" fsync=off
    "$(postgres_bin)/psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null \
        --dbname="postgresql:///postgres?host=$folder/socket&user=postgres" --file="$here/quickstart.sql"
    mkdir "$folder/bin" "$folder/repository"
    ln -s "$2" "$folder/bin/apex-backup"
    PATH="$folder/bin:$PATH"
    export APEX_BACKUP_REPOSITORY="file://$folder/repository"
    export APEX_DATABASE_URL="postgresql:///apex?host=$folder/socket&user=postgres"
    # A policy installed on this machine may name another cluster, so it is replaced.
    if [[ -e /etc/apex-backup/policy.yaml ]]; then
        export APEX_BACKUP_POLICY=$folder/policy.yaml
        cat >"$APEX_BACKUP_POLICY" <<POLICY
apiVersion: apex-backup/v1
kind: BackupPolicy
metadata: {name: apex}
cluster: {url: "env:APEX_DATABASE_URL"}
repository: $APEX_BACKUP_REPOSITORY
POLICY
    fi
}
