#!/usr/bin/env bash
# What large things cost ubos-sync itself: the time of a run and the program's own peak memory, each beside a tenth of the size, so that
# a step that grows with the square would show.
#
#   bench/scale.sh [PROGRAM]          default: target/release/ubos-sync
#
#   ONLY="trees bytes log changes targets peers records"   these only
#   FILES=200000  files of the trees      GB=10  of truth, in files of 10 MB      LOG=2000  MB of a log
#   CHANGES=100000  of one plan           TARGETS=64  and PEERS=64                RECORDS=10000  of runs
#   and what bench/pair.sh says
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"

# TITLE POLICY WORD...
cost() {
    local title=$1 name=$2 from peak
    shift 2
    sync
    from=$(now_us)
    peak=$(peak_of --policy "$lab/mac/$name.toml" --no-progress "$@")
    # shellcheck disable=SC2016 # marks of a table
    printf '| %s | `%s` | %.1f s | %d MiB |\n' "$title" "$*" "$(seconds_since "$from")" $((peak / 1024))
}
# Only what was untouched for two seconds is remembered.
settle() {
    local _
    for _ in 1 2; do
        sleep 2.1
        quietly ours "$@"
    done
}
# NAME: a pair of roots and memories of its own.
pair_of() {
    mkdir -p "$lab/$1/mac" "$lab/$1/balaur"
    : >"$lab/$1/mac/.ubos-root"
    : >"$lab/$1/balaur/.ubos-root"
    memory=$lab/$1/memory policy "$1" "state_dir = \"$lab/$1/far-memory\""
    sed -i.bak -e "s|\"$lab/mac/tree\"|\"$lab/$1/mac\"|" -e "s|\"$lab/balaur/tree\"|\"$lab/$1/balaur\"|" "$lab/mac/$1.toml"
}
done_with() { rm -rf "${lab:?}/$1"; }

# TITLE NAME FILES BYTES: a new pair, and what it costs at first and at rest.
synced() {
    pair_of "$2"
    fill "$lab/$2/mac" "$3" "$4"
    cost "$1, first sync" "$2" truth --apply
    settle "$2" truth --apply
    cost "$1, nothing to do" "$2" truth --apply
}

trees() { # FILES
    local name=trees-$1
    synced "$1 files" "$name" "$1" "$((300 * $1))"
    echo edit >>"$lab/$name/mac/docs/d0/f0"
    cost "$1 files, one edit" "$name" truth --apply
    echo edit >>"$lab/$name/balaur/docs/d0/f1"
    cost "$1 files, one edit over there" "$name" truth --apply
    cost "$1 files, everything read again" "$name" truth --apply --full-scan
    done_with "$name"
}

bytes() { # MB
    local name=bytes-$1
    synced "$1 MB in files of 10 MB" "$name" "$(($1 / 10))" "$((1000000 * $1))"
    cost "$1 MB, everything read again" "$name" truth --apply --full-scan
    done_with "$name"
}

log() { # MB
    local name=log-$1
    pair_of "$name"
    mkdir -p "$lab/$name/balaur/logs"
    records "$(($1 * 1000000 / 259))" record >"$lab/$name/balaur/logs/big.jsonl"
    printf '%s\n' '[[peer.log]]' 'remote = "logs/big.jsonl"' 'local = "logs/big.jsonl"' >>"$lab/mac/$name.toml"
    cost "a log of $1 MB, first pull" "$name" logs --apply
    records 4000 more >>"$lab/$name/balaur/logs/big.jsonl"
    cost "a log of $1 MB, one more MB" "$name" logs --apply
    cost "a log of $1 MB, nothing new" "$name" logs --apply
    cmp "$lab/$name/mac/logs/big.jsonl" "$lab/$name/balaur/logs/big.jsonl"
    done_with "$name"
}

# A fifth each of new files, edits here, edits there, deletes here and touched modes.
changes() { # CHANGES
    local name=changes-$1
    pair_of "$name"
    fill "$lab/$name/mac" "$1" "$((100 * $1))"
    cp -pR "$lab/$name/mac/docs" "$lab/$name/balaur/"
    settle "$name" truth --apply
    fill "$lab/$name/mac" "$(($1 / 5))" "$((20 * $1))" new
    "$python" - "$lab/$name" "$1" <<'PY'
import os
import sys

root, n = sys.argv[1], int(sys.argv[2])
for i in range(n // 5 * 4):
    path = f"docs/d{i // 100}/f{i}"
    kind = i * 4 // (n // 5 * 4)
    if kind < 2:
        with open(f"{root}/{('mac', 'balaur')[kind]}/{path}", "a") as file:
            file.write("edit")
    elif kind == 2:
        os.remove(f"{root}/mac/{path}")
    else:
        os.chmod(f"{root}/mac/{path}", 0o600)
PY
    cost "a plan of $1 changes" "$name" truth
    cost "the same, applied" "$name" truth --apply --allow max_delete --allow all_changed
    diff -rq "$lab/$name/mac" "$lab/$name/balaur"
    done_with "$name"
}

targets() { # TARGETS
    local name=targets-$1 git t
    pair_of "$name"
    fill "$lab/$name/src" 2000 6000000
    git="git -C $lab/$name/src -c user.name=n -c user.email=e@example"
    $git init -q -b main .
    $git add -A
    $git commit -qm first
    sed -i.bak -e '/^\[\[peer\]\]/,$d' -e "s|\"$lab/$name/mac\"|\"$lab/$name/src\"|" "$lab/mac/$name.toml"
    printf '%s\n' '[publish]' 'remote = ""' 'scan = "builtin"' 'parallel = 8' >>"$lab/mac/$name.toml"
    for t in $(seq "$1"); do
        printf '%s\n' '[[publish.target]]' "name = \"t$t\"" "path = \"$lab/$name/to/t$t\"" >>"$lab/mac/$name.toml"
    done
    cost "$1 targets of 2000 files, first publish" "$name" publish --apply
    cost "$1 targets, nothing to do" "$name" publish --apply
    echo edit >>"$lab/$name/src/docs/d0/f0"
    $git commit -qam edit
    cost "$1 targets, one edit" "$name" publish --apply
    done_with "$name"
}

peers() { # PEERS
    local name=peers-$1 p
    pair_of "$name"
    fill "$lab/$name/mac" 2000 6000000
    sed -i.bak '/^\[\[peer\]\]/,$d' "$lab/mac/$name.toml"
    for p in $(seq "$1"); do
        mkdir -p "$lab/$name/p$p"
        : >"$lab/$name/p$p/.ubos-root"
        printf '%s\n' '[[peer]]' "name = \"p$p\"" "root = \"$lab/$name/p$p\"" "state_dir = \"$lab/$name/p$p-memory\"" >>"$lab/mac/$name.toml"
    done
    cost "$1 peers of 2000 files, first sync" "$name" truth --apply
    settle "$name" truth --apply
    cost "$1 peers, nothing to do" "$name" truth --apply
    cost "$1 peers, status" "$name" status
    done_with "$name"
}

# Runs with a peer that is not there, since they are short.
records_of() { # RECORDS
    local name=records-$1 _
    pair_of "$name"
    sed -i.bak -e '/^host = /d' -e '/^ssh_config = /d' "$lab/mac/$name.toml"
    rm "$lab/$name/balaur/.ubos-root"
    for _ in $(seq "$1"); do ours "$name" truth >"$lab/out" 2>&1 || true; done
    cost "$1 records, runs list" "$name" runs list
    cost "$1 records, runs verify" "$name" runs verify
    cost "$1 records, status" "$name" status
    cost "$1 records, one more run" "$name" truth
    cost "$1 records, prune" "$name" prune
    done_with "$name"
}

part() { # NAME FUNCTION SIZE: a tenth of it first
    case " ${ONLY:-$1} " in *" $1 "*) "$2" $(($3 / 10)) && "$2" "$3" ;; esac
}

serve
printf '| | command | time | peak memory |\n|---|---|--:|--:|\n'
part trees trees "${FILES:-200000}"
part bytes bytes "$((${GB:-10} * 1000))"
part log log "${LOG:-2000}"
part changes changes "${CHANGES:-100000}"
part targets targets "${TARGETS:-64}"
part peers peers "${PEERS:-64}"
part records records_of "${RECORDS:-10000}"
