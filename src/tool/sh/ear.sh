# Stays, and says what changes below the root of this host, where there is a tool that hears of it. Every word of it is a record
# `nonce WORD text/nonce`, so that no name of a file can imitate one. A line `N` on standard input is answered by a change of the
# file mark.N in a folder of our own: what was said before it had happened before it. The end of standard input ends everything.
export LC_ALL=C
umask 077
for v in nonce state root exclude includes; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
say() { printf '%s %s %s/%s\n' "$nonce" "$1" "$2" "$nonce"; }
printf '\n'
tool=
for t in inotifywait fswatch; do command -v "$t" >/dev/null 2>&1 && { tool=$t; break; }; done
[ -n "$tool" ] || { say NONE ''; exit 0; }
cd "$root" 2>/dev/null || { say DIED "the root cannot be entered"; exit 0; }
root=$(pwd -P)
# Folders of ears that were killed.
dead() { # PID: also one that nobody has reaped yet
  kill -0 "$1" 2>/dev/null || return 0
  { IFS= read -r about <"/proc/$1/stat"; } 2>/dev/null || return 1
  case ${about##*) } in Z*) return 0 ;; esac
  return 1
}
for old in "$state"/ear.*; do [ ! -d "$old" ] || ! dead "${old##*.}" || rm -rf "$old"; done
d=$state/ear.$$
{ mkdir -p "$state" && mkdir "$d"; } 2>/dev/null || { say DIED "no folder can be made in $state"; exit 0; }
trap 'rm -rf "$d"' EXIT
trap 'exit 143' HUP INT TERM
d=$(cd "$d" && pwd -P)
# It is matched against whole paths: a name above the root, or above our folder, would keep everything from being heard.
[ -z "$exclude" ] || ! printf '%s\n' "$root/" "$d/" | grep -Eq -e "$exclude" || exclude=
set --
i=0
while [ "$i" -lt "$includes" ]; do
  IFS= read -r x
  i=$((i + 1))
  # An include that is reached through a link is not ours to watch.
  y=$x through=
  while :; do [ -L "$root/$y" ] && through=1; case $y in */*) y=${y%/*} ;; *) break ;; esac; done
  [ -n "$through" ] || [ ! -e "$root/$x" ] || set -- "$@" "$root/$x"
done
[ "$includes" -gt 0 ] || set -- "$root"
# Our folder comes last: when it is heard, all is.
set -- "$@" "$d"
say TOOL "$tool"
say ROOT "$root"
say MARKS "$d"
exec 3<&0
case $tool in
inotifywait)
  inotifywait -m -r -q ${exclude:+--exclude "$exclude"} -e create,modify,attrib,move,delete \
    --format "$nonce %e %w%f/$nonce" -- "$@" </dev/null 2>"$d/said" & ;;
fswatch)
  fswatch -r -l 0.2 ${exclude:+-E -e "$exclude"} --event-flag-separator=, --format "$nonce %f %p/$nonce" -- "$@" </dev/null 2>"$d/said" & ;;
esac
t=$!
{
  while IFS= read -r n; do
    case $n in '' | *[!0-9]*) ;; *) : >"$d/mark.$n"; rm -f "$d/mark.$n" ;; esac
  done
  kill "$t"
} <&3 2>/dev/null &
w=$!
exec 3<&-
# When nobody listens any more, this still has to sweep up.
trap '' PIPE
wait "$t"
said=$(head -c 300 "$d/said" 2>/dev/null | tr '\n' ' ')
say DIED "$said" 2>/dev/null
kill "$w" 2>/dev/null
