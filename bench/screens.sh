#!/usr/bin/env bash
# How fast the screens come: `--help`, `status --offline` over many records, and the plan of many changes.
#
#   bench/screens.sh [PROGRAM]        default: target/release/ubos-sync
#
#   RECORDS=10000   runs on record    CHANGES=100000  changes of one plan    TIMES=21  runs of each    KEEP=1  leave the scratch folder
#
# The records are copies of a real one. The plan is read from its record and shown, so its time holds the reading, too.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
records=${RECORDS:-10000}
changes=${CHANGES:-100000}
times=${TIMES:-21}
[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")

lab=$(mktemp -d /tmp/ubb-XXXXXX)
leave() {
    code=$?
    trap - EXIT
    [ -n "${KEEP:-}" ] || rm -rf "$lab"
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/mac/tree/docs" "$lab/disk"
: >"$lab/mac/tree/.ubos-root"
: >"$lab/disk/.ubos-root"
cat >"$lab/mac/ubos-sync.toml" <<POLICY
schema = 1
[site]
name = "mac"
root = "$lab/mac/tree"
[audit]
dir = "$lab/mac/logs"
[[peer]]
name = "disk"
root = "$lab/disk"
POLICY
chmod 600 "$lab/mac/ubos-sync.toml"
ours() {
    env -i HOME="$lab/mac" PATH="$PATH" LANG=C.UTF-8 TZ=UTC UBOS_SYNC_POLICY="$lab/mac/ubos-sync.toml" "$program" "$@"
}

# Many records: copies of one applied run, each a minute after the one before.
echo one >"$lab/mac/tree/docs/one.md"
ours -q truth --apply
python3 - "$lab/mac/logs/runs" "$records" <<'PY'
import datetime, json, pathlib, sys

runs, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
[first] = runs.glob("*-truth-*.json")
record = json.loads(first.read_text())
at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=wanted + 1)
for n in range(wanted):
    at += datetime.timedelta(minutes=1)
    record["run"] = f"{at:%Y%m%dT%H%M%SZ}-truth-{n:06x}"
    record["started"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    (runs / f"{record['run']}.json").write_text(json.dumps(record, indent=2))
PY

# Seconds of each of `times` runs, sorted; the slowest and the peak memory in KiB go to standard output with the median.
measure() {
    local name=$1 most=$2 n
    shift 2
    : >"$lab/seconds"
    ours "$@" >"$lab/out"
    for ((n = 0; n < times; n++)); do
        local started ended
        started=$(date +%s%N)
        ours "$@" >"$lab/out"
        ended=$(date +%s%N)
        echo "$started $ended" | awk '{ printf "%.1f\n", ($2 - $1) / 1e6 }' >>"$lab/seconds"
    done
    local memory=-
    if env -i /usr/bin/time -f %M true >/dev/null 2>&1; then
        memory=$(ours_measured "$@")
    fi
    sort -n "$lab/seconds" | awk -v name="$name" -v most="$most" -v memory="$memory" '{ v[NR] = $1 } END {
        printf "%-34s %8.1f %8.1f %8.1f %8s %10s\n", name, v[1], v[int((NR + 1) / 2)], v[NR], most, memory }'
}

ours_measured() {
    env -i HOME="$lab/mac" PATH="$PATH" LANG=C.UTF-8 TZ=UTC UBOS_SYNC_POLICY="$lab/mac/ubos-sync.toml" \
        /usr/bin/time -f %M -o "$lab/memory" "$program" "$@" >"$lab/out"
    cat "$lab/memory"
}

echo "$records records, a plan of $changes changes, $times runs of each; load $(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo unknown)"
printf '%-34s %8s %8s %8s %8s %10s\n' 'screen (ms)' min median max aim 'peak KiB'
measure '--help' 20 --help
measure 'status --offline' 50 status --offline
measure 'runs list' - runs list

# One plan of many changes, as the newest record.
python3 - "$lab/mac/logs/runs" "$changes" <<'PY'
import datetime, json, pathlib, sys

runs, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
record = json.loads(max(runs.glob("*-truth-*.json")).read_text())
at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
record.update(run=f"{at:%Y%m%dT%H%M%SZ}-truth-ffffff", mode="dry-run", outcome="pending", started=f"{at:%Y-%m-%dT%H:%M:%SZ}")
lane = record["lanes"][0]
model = dict(lane["changes"][0], result="planned")
kinds = ["create", "update", "replace", "delete", "meta"]
lane.update(outcome="pending", changes=[
    dict(model, path=f"docs/part-{n % 97:02}/chapter-{n % 1009:04}/page-{n:06}.md", kind=kinds[n % 5],
         to=["peer", "local"][n % 2], bytes=n % 70000) for n in range(wanted)])
(runs / f"{record['run']}.json").write_text(json.dumps(record, indent=2))
PY
times=$(((times + 3) / 4))
measure 'a plan, read and shown' 1000 runs show last
measure 'the same as JSON' - runs show last --json
measure 'status --offline beside it' 50 status --offline
sed -i.bak -e 's/"mode": "dry-run"/"mode": "apply"/' -e 's/"result": "planned"/"result": "done"/' "$lab"/mac/logs/runs/*-truth-ffffff.json
rm "$lab"/mac/logs/runs/*.bak
measure 'the same, carried out' 50 status --offline
