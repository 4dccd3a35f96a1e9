#!/bin/sh
# What ubos-sync does, shown on directories that play a laptop, a server and two machines of a fleet. Each step checks its own
# outcome, so a demo that reaches its end has proven what it said. `ubos-sync demo` runs this; UBOS_SYNC names the program.
set -eu

program=$UBOS_SYNC
keep=no
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*)
    echo "usage: ubos-sync demo [--keep]" >&2
    exit 2
    ;;
esac
for tool in unison rsync; do
    command -v "$tool" >/dev/null || {
        echo "demo: $tool is not installed; install it (apt-get, dnf, pacman or brew install $tool), then again: ubos-sync demo" >&2
        exit 1
    }
done

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

  [[peer.log]]                    # append-only: pulled, never merged
  remote = "logs/mission_log.jsonl"
  local = "logs/mission_log.jsonl"
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

title "A log grows on the server and is rotated: every line comes once, and none is ever overwritten"
mkdir -p "$server/logs"
printf '{"n": 1}\n{"n": 2}\n' >"$server/logs/mission_log.jsonl"
sync 0 logs --apply
printf '{"n": 3}\n' >>"$server/logs/mission_log.jsonl"
mv "$server/logs/mission_log.jsonl" "$server/logs/mission_log.jsonl.1"
printf '{"n": 4}\n' >"$server/logs/mission_log.jsonl"
sync 0 logs --apply
held=$(cat "$laptop"/logs/mission_log.jsonl.g0001.* "$laptop/logs/mission_log.jsonl" | tr -dc '0-9')
[ "$held" = 1234 ] || fail "lines of the log are missing or doubled: $held"
say ""
say "The laptop holds lines 1 to 4: the old generation under a name of its own, the new one where the log belongs."

title "That last sync was a mistake: one command puts both sides back"
printf 'a plan that nobody wanted\n' >"$laptop/docs/mission-2.md"
rm "$server/docs/mission-3.md"
sync 0 truth --apply
sync 0 rollback last --apply
grep -q 'mission 2' "$server/docs/mission-2.md" || fail "the server's mission 2 is not back"
[ -e "$laptop/docs/mission-3.md" ] || fail "the laptop's mission 3 is not back"
say ""
say "Both sides are as before that run, and the pair is held, so that no timer repeats the mistake."
printf 'mission 2\n' >"$laptop/docs/mission-2.md"
printf 'mission 3\n' >"$server/docs/mission-3.md"
sync 0 release server

title "Every run, dry or applied, has left a record"
sync 0 runs list
sync 0 runs verify

if command -v git >/dev/null; then
    title "A commit goes to two machines, and each can prove what it holds"
    fleet=$scratch/fleet.toml
    mkdir "$scratch/repo"
    printf 'release one\n' >"$scratch/repo/app.txt"
    (
        cd "$scratch/repo"
        git init -q -b main . && git add app.txt
        git -c user.name=demo -c user.email=demo@example -c commit.gpgsign=false commit -q -m one
    )
    cat >"$fleet" <<FLEET
schema = 1

[site]
name = "laptop"
root = "repo"
state_dir = "fleet-state"

[publish]
remote = ""                       # local commits only
scan = "builtin"                  # nothing goes out before it was searched for secrets

  [[publish.target]]
  name = "vm01"
  path = "$scratch/vm01"

  [[publish.target]]
  name = "vm02"
  path = "$scratch/vm02"
FLEET
    chmod 600 "$fleet"
    : >"$scratch/repo/.ubos-root"
    policy=$fleet
    sync 0 publish --apply
    grep -q 'release one' "$scratch/vm02/app.txt" || fail "vm02 has not got the release"
    sync 0 verify
    printf 'somebody was here\n' >"$scratch/vm01/app.txt"
    sync 1 verify
    say ""
    say "An edit on a machine is found, named, and kept there when the next publish replaces it."
fi

printf '\nThat was all on one machine. README.md: "A real server" is the next step.\n'
