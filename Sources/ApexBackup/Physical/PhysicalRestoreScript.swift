import BackupModel

/// The commands of a physical backup's `RESTORE.md`, for bash in the backup's folder.
///
/// They read `DATA`, `UPTO` and a variable for each tablespace. What they rely on is said in the repository format: the
/// fields of a line of the table of files stand in their order, and every object of WAL ends with its proof.
struct PhysicalRestoreScript {
    let systemIdentifier: String
    let major: Int
    /// Whether a standby was backed up.
    let isOfStandby: Bool
    let record: PhysicalRecord
    let artefacts: [Artefact]

    var text: String {
        [beginning, digests, directories, wal, table, content, configuration, Self.end].joined(separator: "\n")
    }

    /// Tablespaces that are directories elsewhere; those in the data directory itself are content of it.
    var linkedTablespaces: [PhysicalRecord.Tablespace] { record.tablespaces.filter { $0.location.hasPrefix("/") } }

    private var beginning: String {
        #"""
        set -euo pipefail
        shopt -s nullglob
        export LC_ALL=C
        umask 077
        stop() { echo "$1" >&2; exit 1; }
        upto=${UPTO:-immediate}
        [[ $upto == immediate || $upto == latest ]] || stop "UPTO is '$upto', and neither immediate nor latest"
        data=${DATA:?is to name the directory to restore into}
        incarnation=../../\#(systemIdentifier)
        """#
    }

    private var digests: String {
        let lines = artefacts.flatMap(\.volumes).map { "\($0.sha256)  \($0.name)" }
        return #"""

            # What the backup's folder holds is what was stored.
            sha256sum --check --quiet >&2 <<'END'
            \#(lines.joined(separator: "\n"))
            END
            """#
    }

    private var directories: String {
        let links = linkedTablespaces.map { tablespace in
            let variable = tablespace.variable
            return """
                empty_directory "${\(variable):?is to name the directory of a tablespace}"
                ln -s -- "$\(variable)" "$data/pg_tblspc/\(tablespace.oid)"
                """
        }
        return
            ([
                #"""

                # The directory, what the script needs for itself, and links to the tablespaces.
                empty_directory() {
                    [[ $1 == /* ]] || stop "'$1' is no absolute path"
                    mkdir -p -- "$1"
                    [[ -z $(ls -A -- "$1") ]] || stop "'$1' is not empty"
                    chmod 700 -- "$1"
                }
                empty_directory "$data"
                work=$(mktemp -d)
                export work
                ended() {
                    if [[ $1 != 0 ]]; then echo 'The restore is not complete. Empty its directories before you try again.' >&2; fi
                    rm -rf -- "$work"
                }
                trap 'ended $?' EXIT
                mkdir -- "$data/pg_tblspc" "$data/pg_wal"
                """#
            ] + links).joined(separator: "\n")
    }

    private var wal: String {
        let needed = record.neededSegments
        let size = needed.first?.size ?? .standard
        let timeline = record.timeline.eightHexDigits
        return #"""

            # WAL: every object of it ends with the SHA-256 of all bytes before. Of a segment that was not finished there
            # are pieces, and the rest is zeros.
            proved() {
                local proof
                proof=$(tail -c 32 -- "$1" | od -A n -v -t x1 | tr -d ' \n')
                [[ $(head -c -32 -- "$1" | sha256sum) == "$proof  -" ]] || stop "'$1' is damaged"
            }
            wal=$incarnation/wal size=\#(size.bytes)
            number=\#(needed.first?.number ?? 0) last=\#(needed.last?.number ?? 0) reached=0
            while [[ $upto == latest || $number -le $last ]]; do
                printf -v log %08X $((number / \#(size.segmentsPerLog)))
                printf -v segment \#(timeline)%s%08X "$log" $((number % \#(size.segmentsPerLog)))
                stored=$wal/\#(timeline)/$log/$segment.zst
                [[ -e $stored ]] || break
                proved "$stored"
                zstd -dcq -- "$stored" >"$data/pg_wal/$segment"
                number=$((number + 1))
                reached=$((number * size)) segment=
            done
            if [[ -n $segment ]]; then
                end=0
                for stored in "$wal/partial/$segment"/????????-????????.zst; do
                    range=${stored##*/}
                    if [[ 16#${range:0:8} -le $end && 16#${range:9:8} -gt $end ]]; then
                        proved "$stored"
                        truncate -s "$size" -- "$data/pg_wal/$segment"
                        zstd -dcq -- "$stored" | dd of="$data/pg_wal/$segment" oflag=seek_bytes \
                            seek=$((16#${range:0:8})) bs=1M iflag=fullblock conv=notrunc status=none
                        end=$((16#${range:9:8}))
                        reached=$((number * size + end))
                    fi
                done
            fi
            [[ $reached -ge \#(record.stop.position) ]] || stop "WAL segment $segment, which the backup needs, is missing"
            newest=
            if [[ $upto == latest ]]; then
                for stored in "$wal/\#(timeline)"/*/????????????????????????.zst; do newest=${stored##*/}; done
                [[ $newest < $segment ]] || stop "WAL segment $segment is not whole, and ${newest%.zst} is stored"
            fi
            # A server that has these gives its own timeline a number that none had.
            for stored in "$wal"/????????.history.zst; do
                proved "$stored"
                name=${stored##*/}
                zstd -dcq -- "$stored" >"$data/pg_wal/${name%.zst}"
            done
            """#
    }

    /// Takes the table apart: JSON with its fields in this order, a line for each file or directory.
    private var table: String {
        #"""

        # The table of files: names as it writes them, with their modes, sizes and where their content is.
        \#(read(.files)) | awk '
            BEGIN { OFS = "\t"; work = ENVIRON["work"] }
            function strange() { print "line " NR " of files.jsonl.zst is strange" >"/dev/stderr"; exit 1 }
            {
                if (!match($0, /^[{]"m":"[0-7]+","p":"/)) strange()
                mode = substr($0, 7, RLENGTH - 13)
                rest = substr($0, RLENGTH + 1)
                if (!match(rest, /^([^"\\]|\\["\\])+"/)) strange()
                path = substr(rest, 1, RLENGTH - 1)
                rest = substr(rest, RLENGTH + 1)
                if (rest == "}") { print mode, path >(work "/directories"); next }
                if (!match(rest, /^,"s":[0-9]+/)) strange()
                size = left = substr(rest, 6, RLENGTH - 5)
                rest = substr(rest, RLENGTH + 1)
                # Without it no server starts: it gets its name at the end.
                if (path == "global/pg_control") path = path ".incomplete"
                if (rest != "}") {
                    if (substr(rest, 1, 7) != ",\"x\":[[" || substr(rest, length(rest) - 2) != "]]}") strange()
                    count = split(substr(rest, 8, length(rest) - 10), extents, /\],\[/)
                    for (i = 1; i <= count; i++) {
                        if (split(extents[i], x, ",") != 8) strange()
                        gsub(/"/, "", x[1])
                        gsub(/"/, "", x[5])
                        left -= x[8]
                        print x[1], x[2], x[3], x[5], x[6], x[7], x[8], path >(work "/pieces")
                    }
                }
                print mode, (left == 0 ? "-" : size), path >(work "/files")
            }'
        named() {
            path=$1
            if [[ $path == *\\* ]]; then
                path=${path//\\\"/\"}
                path=${path//\\\\/\\}
                printf -v path %b "$path"
            fi
            path=$data/$path
        }
        each() {
            local list=$1 names
            shift
            while mapfile -d '' -t -n 500 names && ((${#names[@]} > 0)); do "$@" "${names[@]}"; done <"$list"
        }
        while IFS=$'\t' read -r mode name; do
            named "$name"
            printf '%s\0' "$path" >>"$work/made"
            printf '%s\0' "$path" >>"$work/mode.$mode"
        done <"$work/directories"
        each "$work/made" mkdir -p --
        while IFS=$'\t' read -r mode size name; do
            named "$name"
            : >"$path"
            if [[ $size != - ]]; then truncate -s "$size" -- "$path"; fi
            printf '%s\0' "$path" >>"$work/mode.$mode"
        done <"$work/files"
        """#
    }

    private var content: String {
        #"""

        # Their content: each frame is read once, proved, and written to where its pieces belong. The rest is zeros.
        sort -t $'\t' -k 1,1 -k 2,2n -k 5,5n -o "$work/pieces" "$work/pieces"
        frame=
        cut="iflag=skip_bytes,count_bytes,fullblock status=none"
        while IFS=$'\t' read -r pack offset bytes digest start position length name; do
            if [[ $frame != "$pack at $offset" ]]; then
                frame="$pack at $offset"
                dd if="$incarnation/packs/$pack" $cut bs=1M skip="$offset" count="$bytes" | zstd -dcq >"$work/frame" \
                    || stop "The frame in pack $frame cannot be read"
                [[ $(sha256sum <"$work/frame") == "$digest  -" ]] || stop "The frame in pack $frame is damaged"
            fi
            named "$name"
            dd if="$work/frame" of="$path" $cut bs=4M skip="$start" count="$length" \
                oflag=seek_bytes seek="$position" conv=notrunc
        done <"$work/pieces"
        for list in "$work"/mode.*; do each "$list" chmod "${list##*.}" --; done
        """#
    }

    private static let end = #"""

        # All of it is durable before pg_control has its name.
        sync
        mv -- "$data/global/pg_control.incomplete" "$data/global/pg_control"
        sync
        echo "restored into $data"
        """#
}

extension PhysicalRestoreScript {
    private var configuration: String {
        let outside = record.configuration.compactMap { file in
            Self.standardNames[file.setting].flatMap { name in
                artefacts.first { $0.name == file.artefact }.map { "\(read($0)) >\"$data/\(name)\"" }
            }
        }
        let access = record.configurationMissing ? ["echo 'local all all peer' >\"$data/pg_hba.conf\""] : []
        return #"""

            # Where recovery begins, and the configuration: nothing of it may lead to the source.
            \#(read(.label)) >"$data/backup_label"
            \#(read(.serverManifest)) >"$data/backup_manifest"
            \#((access + outside).map { "\($0)\n" }.joined())without() {
                : >>"$data/$1"
                mv -- "$data/$1" "$data/$1.apex-original"
                sed -E "s@^[[:space:]]*($2)@# &@I" -- "$data/$1.apex-original" >"$data/$1"
            }
            names='\#(RestoredConfiguration.neutralisedNames.joined(separator: "|"))'
            for file in postgresql.conf postgresql.auto.conf; do
                without "$file" "($names|include|include_dir|include_if_exists)([[:space:]=']|\$)|log_directory[[:space:]=]*'?/"
            done
            for file in pg_hba.conf pg_ident.conf; do
                without "$file" "(include|include_dir|include_if_exists)[[:space:]]"
            done
            if [[ $upto == immediate ]]; then target="\#(target)"; else target=; fi
            cat >>"$data/postgresql.auto.conf" <<END

            # Of the restore: all WAL that recovery needs is in pg_wal.
            restore_command = 'false'
            $target
            recovery_target_timeline = 'current'
            recovery_target_action = 'promote'
            hot_standby = off
            # So that the restored server acts on nobody else:
            \#((restraints + allowances).joined(separator: "\n"))
            END
            rm -f -- "$data/standby.signal"
            : >"$data/recovery.signal"
            """#
    }

    private static let standardNames = [
        "config_file": "postgresql.conf", "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf",
    ]

    /// Behind a backup of an idle standby no record may be stored that would show a server that it is consistent: it
    /// recovers all that there is of the last segment.
    private var target: String { isOfStandby ? "" : "recovery_target = 'immediate'" }

    /// As the restore of this program has them for a server that does not become the primary.
    private var restraints: [String] {
        OverlaySetting.all.compactMap { setting in
            guard setting.isWritten, setting.majors.contains(major), case .text(let value) = setting.value else {
                return nil
            }
            return "\(setting.name) = '\(value)'"
        }
    }

    /// Without it recovery refuses a tablespace that is a directory in the data directory.
    private var allowances: [String] {
        record.tablespaces.count == linkedTablespaces.count ? [] : ["allow_in_place_tablespaces = on"]
    }

    private func read(_ role: Artefact.Role) -> String {
        artefacts.first { $0.role == role }.map(read) ?? "false"
    }

    private func read(_ artefact: Artefact) -> String {
        let files = artefact.volumes.map { RestoreGuide.shellQuoted($0.name) }.joined(separator: " ")
        return artefact.compression == .none ? "cat \(files)" : "cat \(files) | zstd -dcq"
    }
}

extension PhysicalRecord.Tablespace {
    /// The variable that says where a restore puts it.
    var variable: String { "TABLESPACE_\(oid)" }
}
