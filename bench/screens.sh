#!/usr/bin/env bash
# How fast the screens come: `--help`, `status --offline` over many records, and the plan of many changes.
#
#   bench/screens.sh [PROGRAM]        default: target/release/ubos-sync
#
#   RECORDS=10000   runs on record    CHANGES=100000  changes of one plan    TIMES=21  runs of each
#   and what bench/pair.sh says
#
# The records are copies of a real one. The plan is read from its record and shown, so its time holds the reading, too.
set -euo pipefail

# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
records=${RECORDS:-10000}
changes=${CHANGES:-100000}
times=${TIMES:-21}

mkdir -p "$lab/mac/tree/docs"
local_policy

# Many records: copies of one applied run, each a minute after the one before.
echo one >"$lab/mac/tree/docs/one.md"
quietly ours disk truth --apply
"$python" - "$state-audit/runs" "$records" <<'PY'
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

# TITLE AIM WORD...: milliseconds of each of `times` runs; the first one only fills caches.
screen() {
    local title=$1 aim=$2 n low middle high
    shift 2
    rm -f "$lab/timing.a"
    ours disk "$@" >"$lab/out"
    for ((n = 0; n < times; n++)); do timed timing.a ours disk "$@"; done
    awk '{ print $1 * 1000 }' "$lab/timing.a" >"$lab/milliseconds"
    IFS=$'\t' read -r low middle high <<<"$(spread "$lab/milliseconds")"
    row "$title" - ms "$aim" "$times" "$low" "$middle" "$high" - -
}

heading "screens: $records records, a plan of $changes changes, $times runs of each"
screen "\`--help\`" 20 --help
screen "\`status --offline\`" 50 status --offline
screen "\`runs list\`" - runs list

# One plan of many changes, as the newest record.
"$python" - "$state-audit/runs" "$changes" <<'PY'
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
screen "a plan, read and shown" 1000 runs show last
peak_row "a plan, read and shown, peak memory" - --policy "$lab/mac/disk.toml" runs show last
screen "the same as JSON" - runs show last --json
screen "\`status --offline\` beside it" 50 status --offline
sed -i.bak -e 's/"mode": "dry-run"/"mode": "apply"/' -e 's/"result": "planned"/"result": "done"/' "$state-audit"/runs/*-truth-ffffff.json
rm "$state-audit"/runs/*.bak
screen "the same, carried out" 50 status --offline
