#!/bin/sh
# What ubos-sync does, shown on two directories that play a laptop and a server. Each step checks its own
# outcome, so a demo that reaches its end has proven what it said.
#
#   tests/demo/demo.sh [--keep]        --keep leaves the scratch folder behind
#
# UBOS_SYNC names the program; without it, the debug build of this checkout.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
program=${UBOS_SYNC:-$here/target/debug/ubos-sync}
keep=no
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*)
    echo "usage: demo.sh [--keep]" >&2
    exit 2
    ;;
esac
[ -x "$program" ] || {
    echo "demo: $program is not there; run 'make build' or 'cargo build' first" >&2
    exit 1
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/ubos-demo.XXXXXX")
leave() {
    code=$?
    trap - EXIT
    if [ "$keep" = yes ]; then
        printf '\nThe scratch folder stays: %s\n' "$scratch"
    else
        rm -rf "$scratch"
    fi
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

laptop=$scratch/laptop
server=$scratch/server
policy=$scratch/ubos-sync.toml

bold=
plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m')
    plain=$(printf '\033[0m')
fi
step=0
title() {
    step=$((step + 1))
    printf '\n%s%s. %s%s\n' "$bold" "$step" "$1" "$plain"
}
say() { printf '   %s\n' "$*"; }
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

# sync EXPECTED-CODE ARGS…: runs the program as in a home of its own, so that no policy of the user's is near.
sync() {
    expected=$1
    shift
    printf '\n   $ ubos-sync %s\n' "$*"
    code=0
    HOME=$scratch/home "$program" --policy "$policy" "$@" >"$scratch/out" 2>&1 </dev/null || code=$?
    sed 's/^/   | /' "$scratch/out"
    [ "$code" = "$expected" ] || fail "exit code $code where $expected was due"
}

mkdir -p "$scratch/home" "$laptop/docs" "$laptop/scripts" "$laptop/hub" "$server"
unset UBOS_SYNC_POLICY XDG_CONFIG_HOME XDG_STATE_HOME 2>/dev/null || true

title "A laptop, a server, and one policy"
cat >"$policy" <<POLICY
schema = 1

[site]
name = "laptop"
root = "laptop"
state_dir = "state"

[truth]
state = ["*_state.json"]          # never crosses
conflicts = "newer"

[guards]
max_delete = "20%"

[[peer]]                          # no host: a directory on this machine plays the server
name = "server"
root = "server"
POLICY
chmod 600 "$policy"
sed 's/^/   | /' "$policy"
say ""
say "Each root carries a marker file. A root without one is an unmounted disk, and is not synced."
: >"$laptop/.ubos-root"
: >"$server/.ubos-root"

number=1
while [ "$number" -le 40 ]; do
    printf 'mission %s\n' "$number" >"$laptop/docs/mission-$number.md"
    number=$((number + 1))
done
printf '#!/bin/sh\necho deployed\n' >"$laptop/scripts/deploy.sh"
chmod 755 "$laptop/scripts/deploy.sh"
printf '{"mode": "laptop is thinking"}\n' >"$laptop/hub/strategy_state.json"
say "The laptop holds 40 missions, a script, and the state of a running process. The server holds nothing."
sync 0 check

title "Without --apply, it only says what it would do"
sync 0 truth
[ ! -e "$server/docs" ] || fail "a dry run has written to the server"
say ""
say "The server is still empty."

title "With --apply, it does exactly that"
sync 0 truth --apply
cmp -s "$laptop/docs/mission-1.md" "$server/docs/mission-1.md" || fail "mission 1 has not arrived"
[ -x "$server/scripts/deploy.sh" ] || fail "the script arrived without its permission to run"
say ""
say "The missions are there, and the script is still executable."

title "Truth crosses, state stays home"
[ ! -e "$server/hub/strategy_state.json" ] || fail "a state file has crossed"
mkdir -p "$server/hub"
printf '{"mode": "server is busy"}\n' >"$server/hub/strategy_state.json"
sync 0 truth --apply
grep -q laptop "$laptop/hub/strategy_state.json" || fail "the laptop's state was overwritten"
grep -q server "$server/hub/strategy_state.json" || fail "the server's state was overwritten"
say ""
say "Both hosts have a hub/strategy_state.json of their own, and neither has seen the other's."

title "Both sides edit the same file: the newer edit wins, the other is kept"
printf 'mission 1, as the laptop sees it\n' >"$laptop/docs/mission-1.md"
sleep 2
printf 'mission 1, as the server sees it, two seconds later\n' >"$server/docs/mission-1.md"
sync 0 truth
sync 0 truth --apply
grep -q 'two seconds later' "$laptop/docs/mission-1.md" || fail "the newer edit did not win"
loser=$(grep -rl 'as the laptop sees it' "$scratch/state" 2>/dev/null | head -n 1)
[ -n "$loser" ] || fail "the losing edit is nowhere to be found"
say ""
say "The losing edit was not destroyed. It lies in ${loser#"$scratch"/}"

title "Something deletes 30 of 40 files: that is refused, not repeated on the other side"
mkdir "$scratch/away"
number=11
while [ "$number" -le 40 ]; do
    mv "$laptop/docs/mission-$number.md" "$scratch/away/"
    number=$((number + 1))
done
sync 3 truth --apply
[ -e "$server/docs/mission-40.md" ] || fail "a refused run has deleted a file"
say ""
say "Exit code 3, nothing touched. Had it been meant, --allow max_delete would have let it through, once."
mv "$scratch"/away/* "$laptop/docs/"

title "With the files back, there is nothing to do, and nothing is done"
sync 0 truth --apply
sync 0 truth --exit-code
diff -r -x '*_state.json' "$laptop" "$server" || fail "the two trees differ"
say ""
say "diff -r of the two trees: no difference, state apart."

title "Every run, dry or applied, has left a record"
sync 0 runs list
sync 0 runs verify

printf '\nThat was all on one machine. README.md: "A real server" is the next step.\n'
