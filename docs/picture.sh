#!/bin/sh
# Draws docs/plan.svg: what `ubos-sync truth` prints of two small trees, in its colours, by running it.
#
#   docs/picture.sh [PROGRAM]          writes docs/plan.svg      (default: target/debug/ubos-sync)
#   docs/picture.sh [PROGRAM] --check  fails when the picture is not what the program prints today
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../target/debug/ubos-sync
check=no
for word in "$@"; do
    case $word in
    --check) check=yes ;;
    *) program=$(cd "$(dirname "$word")" && pwd)/$(basename "$word") ;;
    esac
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ubos-picture.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mac=$scratch/mac balaur=$scratch/balaur
mkdir "$mac" "$balaur"

# put ROOT PATH TIME TEXT: all times are given, so that the plan and its id are the same in every picture.
put() {
    mkdir -p "$1/$(dirname "$2")"
    printf '%s\n' "$4" >"$1/$2"
    touch -d "$3" "$1/$2"
}
# From the scratch folder, where the policy is found without being named.
sync() { (cd "$scratch" && env -i HOME="$scratch" PATH="$PATH" TZ=UTC LC_ALL=C COLUMNS=80 "$program" "$@"); }

: >"$mac/.ubos-root"
: >"$balaur/.ubos-root"
umask 077
cat >"$scratch/ubos-sync.toml" <<POLICY
schema = 1
[site]
name = "mac"
root = "$mac"
[[peer]]
name = "balaur"
root = "$balaur"
POLICY
for name in plan old roadmap; do put "$mac" "docs/$name.md" 2026-11-20T08:00:00Z "$name"; done
sync -q truth --apply >/dev/null 2>&1
rm "$mac/docs/old.md"
put "$mac" docs/plan.md 2026-11-21T09:41:07.25Z "the plan as the laptop has it now"
put "$balaur" docs/plan.md 2026-11-21T09:41:09.75Z "the plan as the server has it, a little later"
put "$mac" docs/roadmap.md 2026-11-21T09:30:00Z "north"
put "$balaur" docs/roadmap.md 2026-11-21T09:30:00Z "south"
put "$mac" scripts/deploy.sh 2026-11-21T09:42:00Z "exec rsync ./ server:"
n=0
while [ $n -lt 23 ]; do
    n=$((n + 1))
    put "$balaur" "missions/m$n.md" 2026-11-21T09:43:00Z "mission $n, as decided"
done
# Exit 4: something is left for a person.
sync --color always truth >"$scratch/said" || [ $? -eq 4 ]

# Each line becomes a <text>; what is between two colour codes becomes a <tspan> with a class. Both themes have their own colours.
awk '
function plain(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
function piece(s) {
    if (s == "") return ""
    if (class == "") return plain(s)
    return "<tspan class=\"" class "\">" plain(s) "</tspan>"
}
function line(s,    out, at, code, n, all, i) {
    out = ""
    while ((at = index(s, "\033[")) > 0) {
        out = out piece(substr(s, 1, at - 1))
        s = substr(s, at + 2)
        at = index(s, "m")
        code = substr(s, 1, at - 1)
        s = substr(s, at + 1)
        n = split(code, all, ";")
        for (i = 1; i <= n; i++) {
            if (all[i] == "" || all[i] == "0") class = ""
            else class = class (class == "" ? "" : " ") "c" all[i]
        }
    }
    return out piece(s)
}
{ said[NR] = line($0) }
END {
    height = 20 * (NR + 1) + 24
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"%d\" viewBox=\"0 0 760 %d\" role=\"img\" aria-label=\"What ubos-sync truth prints: a plan with a delete, a conflict, what is left for a person and what is created\">\n", height, height
    print "<style>"
    print ".bg{fill:#fdfdfb;stroke:#d5d5cd}text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#24292f;white-space:pre}"
    print ".c1{font-weight:bold}.c2{opacity:.65}.c31{fill:#b3261e}.c32{fill:#1a7f37}.c33{fill:#8a5a00}.c34{fill:#0550ae}.c35{fill:#7b2d9b}.c36{fill:#0b6b74}.c91{fill:#b3261e}.c92{fill:#1a7f37}.c93{fill:#8a5a00}.c94{fill:#0550ae}"
    print "@media (prefers-color-scheme:dark){.bg{fill:#16181c;stroke:#33363c}text{fill:#e6e6e1}.c31,.c91{fill:#ff8a80}.c32,.c92{fill:#7ee787}.c33,.c93{fill:#f0c060}.c34,.c94{fill:#79c0ff}.c35{fill:#d2a8ff}.c36{fill:#76d7e0}}"
    print "</style>"
    printf "<rect class=\"bg\" x=\"0.5\" y=\"0.5\" width=\"759\" height=\"%d\" rx=\"8\"/>\n", height - 1
    print "<text xml:space=\"preserve\" x=\"20\" y=\"32\"><tspan class=\"c2\">$</tspan> ubos-sync truth</text>"
    for (i = 1; i <= NR; i++) printf "<text xml:space=\"preserve\" x=\"20\" y=\"%d\">%s</text>\n", 32 + 20 * i, said[i]
    print "</svg>"
}' "$scratch/said" >"$scratch/plan.svg"

if [ "$check" = no ]; then
    cp "$scratch/plan.svg" "$here/plan.svg"
elif ! cmp -s "$scratch/plan.svg" "$here/plan.svg"; then
    diff "$here/plan.svg" "$scratch/plan.svg" >&2 || true
    echo "docs/plan.svg is not what the program prints: run docs/picture.sh" >&2
    exit 1
fi
