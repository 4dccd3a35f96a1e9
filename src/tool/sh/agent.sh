# The agent: one per host and run. Takes the lock, answers what the host is, lists the tree, then holds the lock until its
# standard input ends, ends the engine that this run left, and lets go. Parameters come as lines, never as code.
export LC_ALL=C TZ=UTC
umask 077
for v in nonce state root marker pair run who unison rsync want owner prunes includes; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
say() { printf '%s %s\n' "$1" "$2"; }
printf '\n%s BEGIN\n' "$nonce"

boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null | tr -d ' {},')
born() {
  if [ -r "/proc/$1/stat" ]; then
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | { read -r st rest && [ "$st" != Z ] && echo "$rest" | cut -d' ' -f19; }
  else ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _; fi
}
alive() { [ -n "$1" ] && [ -n "$2" ] && [ "$3" = "$boot" ] && [ "$(born "$1")" = "$2" ]; }
end_engine() { # FILE: pid and birth of an engine; ends it if it still is that process
  [ -r "$1" ] && read -r epid eborn <"$1" || return 0
  alive "$epid" "$eborn" "$boot" || return 0
  kill -TERM "$epid" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do alive "$epid" "$eborn" "$boot" || return 0; sleep 0.2 2>/dev/null || sleep 1; done
  kill -KILL "$epid" 2>/dev/null
  sleep 0.2 2>/dev/null || sleep 1
}
lock=$state/lock.d
field() { sed -n "s/^$1=//p" "$lock/owner" 2>/dev/null | head -n 1; }
dead() { # is the lock's owner gone? (a foreign driver that has been silent for two minutes counts as gone)
  opid=$(field pid) oborn=$(field born) oboot=$(field boot)
  alive "$opid" "$oborn" "$oboot" || return 0
  [ "$(field remote)" = 1 ] && [ -n "$(find "$lock/beat" -prune -mmin +2 2>/dev/null)" ] && { kill -KILL "$opid" 2>/dev/null; return 0; }
  return 1
}
mine=
claim() {
  mkdir "$lock" 2>/dev/null || return 1
  printf 'nonce=%s\npid=%s\nborn=%s\nboot=%s\nremote=%s\n%s\n' "$nonce" "$1" "$(born "$1")" "$boot" "$2" "$who" | tr '\037' '\n' >"$lock/owner.new" &&
    mv "$lock/owner.new" "$lock/owner" && : >"$lock/beat" && mine=1
}
# The door behind which locks are removed: one at a time. Whoever died in it is passed.
enter() {
  tries=0
  until mkdir "$lock.take" 2>/dev/null; do
    tries=$((tries + 1))
    by=$(cat "$lock.take/by" 2>/dev/null)
    if [ -n "$by" ]; then
      alive "${by% *}" "${by#* }" "$boot" || [ "$(cat "$lock.take/by" 2>/dev/null)" != "$by" ] || rm -rf "$lock.take"
    elif [ "$tries" -ge 15 ]; then
      # It died before it could say who it was.
      rm -rf "$lock.take"
      tries=0
    fi
    [ "$tries" -lt 60 ] || return 1
    sleep 0.2 2>/dev/null || sleep 1
  done
  echo "$$ $(born $$)" >"$lock.take/by"
}
leave() { rm -rf "$lock.take"; }
take() {
  if [ "$owner" = 0 ]; then set -- $$ 1; else set -- "$owner" 0; fi
  n=0
  while :; do
    # What is not ours is neither followed nor cleared: who holds what cannot be known from it.
    if [ -L "$lock" ] || { [ -e "$lock" ] && [ ! -d "$lock" ]; }; then say nolock "$lock is not a directory of ours"; return 1; fi
    claim "$1" "$2" && return 0
    if [ -L "$lock/owner" ] || { [ -e "$lock/owner" ] && { [ ! -f "$lock/owner" ] || [ ! -r "$lock/owner" ]; }; }; then
      say nolock "$lock/owner cannot be read, so that nobody knows whether its run lives"
      return 1
    fi
    [ -d "$lock" ] || [ $n -lt 3 ] || { say nolock "$lock cannot be made"; return 1; }
    [ -d "$lock" ] || n=$((n + 1))
    if [ ! -s "$lock/owner" ] && [ $n -lt 5 ]; then n=$((n + 1)); sleep 0.3 2>/dev/null || sleep 1; continue; fi
    if ! dead; then
      # It may have been let go at this very moment.
      holder=$(sed 's/^/holder /' "$lock/owner" 2>/dev/null)
      [ -n "$holder" ] || continue
      printf '%s\n' "$holder"
      return 1
    fi
    # One at a time may clear a dead lock.
    enter || { say nolock "$lock.take stays, though nobody seems to hold it"; return 1; }
    if dead; then
      for e in "$lock"/engine*; do end_engine "$e"; done
      say cleared "$(field run)"
      rm -rf "$lock"
    fi
    leave
  done
}
let_go() {
  trap '' HUP INT TERM PIPE
  [ -n "$mine" ] || return 0
  mine=
  [ "$(field nonce)" = "$nonce" ] && for e in "$lock"/engine*; do end_engine "$e"; done
  # While engines were ended, a later run may have taken this lock over: behind the door it is ours or it stays.
  enter || return 0
  [ "$(field nonce)" = "$nonce" ] && rm -rf "$lock"
  leave
}
trap 'let_go; exit 143' HUP INT TERM
trap 'let_go' EXIT

say clock "$(date +%s.%N 2>/dev/null)"
say home "$HOME"
say system "$(uname -s)"
if [ "$want" = lock ]; then
  if mkdir -p "$state" 2>/dev/null && [ -w "$state" ]; then
    if take; then say lock held; else say lock refused; printf '%s END\n' "$nonce"; exit 0; fi
  else say statedir bad; fi
fi
say state "$state"
[ -L "$root" ] && say rootlink 1
if [ -d "$root" ] && cd "$root" 2>/dev/null; then
  say root "$(pwd -P)"
  rootid=$(ls -Ldi . | { read -r i _; echo "$i"; })
  say rootid "$rootid"
  say rootmode "$(ls -ld . | cut -c1-10)"
  [ -r . ] && [ -w . ] && [ -x . ] && say rootrwx 1
  [ -f "$marker" ] && [ ! -L "$marker" ] && say marker 1
  say space "$(df -Pk . 2>/dev/null | { read -r _; read -r _ _ _ a _; echo "$a"; })"
  say inodes "$(df -Pi . 2>/dev/null | { read -r _; read -r _ _ _ a _; echo "$a"; })"
elif [ -e "$root" ]; then say rootbad "not a directory, or closed to this user"
else say rootbad missing; fi
say unison "$("$unison" -version 2>/dev/null | head -n 1)"
say rsync "$("$rsync" --version 2>/dev/null | head -n 1)"
sha=none
for s in sha256sum shasum openssl; do command -v $s >/dev/null 2>&1 && { sha=$s; break; }; done
say sha $sha
if find / -prune -printf '' 2>/dev/null; then style=gnu; elif stat -f %z / >/dev/null 2>&1; then style=bsd; else style=none; fi
say stat $style
p=$state/pairs/$pair
for g in "$p"/archives/*/ok; do [ -f "$g" ] && { d=${g%/ok}; say gen "${d##*/} $(cat "$g")"; }; done
for r in "$p"/runs/*/pending; do [ -f "$r" ] && { d=${r%/pending}; say pending "${d##*/}"; }; done
[ -f "$p/synced" ] && say synced 1
[ -f "$p/held" ] && say heldby "$(head -n 1 "$p/held")"

# The sweep: every path with its facts, NUL between fields (GNU), or framed by the nonce (BSD).
set --
i=0
while [ "$i" -lt "$includes" ]; do
  IFS= read -r x
  i=$((i + 1))
  # An include that is reached through a link is not ours to walk.
  y=$x through=
  while :; do case $y in */*) y=${y%/*}; [ -L "$y" ] && through=1 ;; *) break ;; esac; done
  if [ -n "$through" ]; then say through "$x"
  elif [ -e "$x" ] || [ -L "$x" ]; then set -- "$@" "./$x"; fi
done
[ "$includes" -eq 0 ] && set -- .
roots=$#
# Excluded directories are shown but not entered.
set -- "$@" -type d '(' -name ''
i=0
while [ "$i" -lt "$prunes" ]; do IFS= read -r x; set -- "$@" -o -name "$x"; i=$((i + 1)); done
set -- "$@" ')'
say swept "$(date +%s.%N 2>/dev/null)"
printf '%s SWEEP %s\n' "$nonce" "$style"
rc=0
if [ "$roots" -gt 0 ] && [ -n "${rootid:-}" ]; then
  f='%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0'
  case $style in
  gnu) find "$@" -printf "$f" -prune -o -printf "$f" 2>/dev/null || rc=1 ;;
  bsd) find "$@" -print0 -prune -o -print0 2>/dev/null | xargs -0 stat -f "%n$nonce|%HT|%z|%Fm|%Fc|%i|%Lp|%N$nonce%Y" 2>/dev/null ;;
  esac
fi
printf '\0\n%s SWEPT %s\n' "$nonce" $rc
if [ -n "${rootid:-}" ] && { [ $rc -ne 0 ] || [ "$style" = bsd ]; }; then
  # Something could not be read: name the directories, so that they are unknown and not empty.
  find . -type d -exec sh -c 'for d; do [ -r "$d" ] && [ -x "$d" ] || printf "%s\0" "$d"; done' sh {} + 2>/dev/null
fi
printf '\0\n%s END\n' "$nonce"

while IFS= read -r line; do
  case $line in
  clock) printf '%s CLOCK %s\n' "$nonce" "$(date +%s.%N 2>/dev/null)" ;;
  *) [ -n "$mine" ] && : >"$lock/beat" ;;
  esac
done
let_go
