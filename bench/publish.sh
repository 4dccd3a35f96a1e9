#!/usr/bin/env bash
# `ubos-sync publish --apply` against a loop of `rsync -a --delete`, in pairs, to several targets behind a slow line.
#
#   bench/publish.sh [PROGRAM]        default: target/release/ubos-sync
#
#   FILES=20000   files in the repository     TARGETS=8    directories that are published to; a list of counts makes rows of each
#   DELAY=50      milliseconds of round trip, half of it each way
#   PARALLEL=8    targets at the same time    CASES="nothing one-file"
#   and what bench/pair.sh says
#
# The loop pays a new connection for each target, as it does in practice.
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${FILES:-20000}
delay=${DELAY:-50}

serve
slow_down "$delay"
mkdir -p "$lab/src"
"$python" - "$lab/src" "$files" <<'PY'
import os
import sys

root, n = sys.argv[1], int(sys.argv[2])
for i in range(n):
    d = f"{root}/d{i % 200:03}"
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/f{i:06}.txt", "w") as f:
        f.write(f"file {i}\n" * (i % 300 + 1))
PY
git="git -C $lab/src -c user.name=n -c user.email=e@example"
$git init -q -b main .
$git add -A
$git commit -qm first

publish() { "$program" --policy "$lab/policy.toml" publish --apply -q; }
loop() {
    local t
    for t in $(seq "$targets"); do
        rsync -a --delete --exclude=.git/ -e "ssh -F $lab/ssh/slow" "$lab/src/" "balaur:$lab/theirs/t$t/"
    done
}
edit() {
    echo "edit $RANDOM$RANDOM" >>"$lab/src/d007/f000007.txt"
    $git commit -qam edit
}

heading "publish: $files files, $delay ms"
for targets in ${TARGETS:-8}; do
    rm -rf "$lab/ours" "$lab/theirs" "$lab/publish"
    mkdir "$lab/ours" "$lab/theirs"
    {
        printf 'schema = 1\n[site]\nname = "bench"\nroot = "%s/src"\nstate_dir = "%s/publish/state"\n' "$lab" "$lab"
        printf '[audit]\ndir = "%s/publish/logs"\n[publish]\nremote = ""\nscan = "builtin"\nparallel = %s\n' "$lab" "${PARALLEL:-8}"
        for t in $(seq "$targets"); do
            printf '[[publish.target]]\nname = "t%s"\nhost = "balaur"\nssh_config = "%s/ssh/slow"\npath = "%s/ours/t%s"\n' "$t" "$lab" "$lab" "$t"
        done
    } >"$lab/policy.toml"
    chmod 600 "$lab/policy.toml"
    plural=$([ "$targets" = 1 ] || echo s)
    quietly publish
    loop
    # What was looked at within two seconds of its change is looked at once more.
    sleep 2.5
    quietly publish
    # The aim is one for many targets; there is none for few or for a small tree.
    aim=-
    [ "$targets" != 8 ] || [ "$files" -lt 20000 ] || aim=0.35
    for case in ${CASES:-nothing one-file}; do
        if [ "$case" = nothing ]; then
            pairs_of "no-op, $targets target$plural" "loop of rsync" "$aim" publish loop
        else
            pairs_of "one file, $targets target$plural" "loop of rsync" "$aim" publish loop edit
        fi
    done
    peak_row "no-op, $targets target$plural, peak memory" - --policy "$lab/policy.toml" publish --apply -q
done
