# The agent: one per host and run. Takes the lock, answers what the host is, lists the tree (`list` = 1), then holds the lock until its
# standard input ends, ends the engine that this run left, and lets go. Parameters come as lines, never as code.
export LC_ALL=C TZ=UTC
umask 077
for v in nonce state root marker pair run who unison want owner prunes includes list above; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
say() { printf '%s %s\n' "$1" "$2"; }
us=$(printf '\037')
nl='
'
printf '\n%s BEGIN\n' "$nonce"

# Each program that is started costs a millisecond or two on both sides of every run, so the shell does what it can itself.
boot=
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=$(sysctl -n kern.boottime 2>/dev/null | tr -d ' {},')
born() { # PID: sets b to when that process began, empty when there is none (a dead one that nobody has reaped is none)
  b=
  if { IFS= read -r b <"/proc/$1/stat"; } 2>/dev/null; then
    # The name in brackets may hold anything; state and start time are the first and twentieth field behind it.
    b=${b##*) }
    set -f; IFS=' '
    set -- $b
    set +f; unset IFS
    if [ "$1" = Z ]; then b=; else b=${20}; fi
  elif [ ! -d /proc/self ]; then b=$(ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _)
  fi
}
alive() { [ -n "$1" ] && [ -n "$2" ] && [ "$3" = "$boot" ] && born "$1" && [ "$b" = "$2" ]; }
end_engine() { # FILE: pid and birth of an engine; ends it if it still is that process
  [ -r "$1" ] && read -r epid eborn <"$1" || return 0
  alive "$epid" "$eborn" "$boot" || return 0
  kill -TERM "$epid" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do alive "$epid" "$eborn" "$boot" || return 0; sleep 0.2 2>/dev/null || sleep 1; done
  kill -KILL "$epid" 2>/dev/null
  sleep 0.2 2>/dev/null || sleep 1
}
lock=$state/lock.d
field() { # KEY: sets v to its first value in the lock's owner file
  v=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in "$1="*) v=${line#*=}; return 0 ;; esac
  done 2>/dev/null <"$lock/owner"
}
gone() { # is the lock's owner gone? (a foreign driver that has been silent for two minutes counts as gone; sets silent to its agent)
  silent=
  { field pid; opid=$v; field born; oborn=$v; field boot; oboot=$v; } 2>/dev/null
  alive "$opid" "$oborn" "$oboot" || return 0
  { field remote; } 2>/dev/null
  [ "$v" = 1 ] && [ -n "$(find "$lock/beat" -prune -mmin +2 2>/dev/null)" ] && { silent=$opid; return 0; }
  return 1
}
dead() { # the same, and a silent agent is ended
  gone || return 1
  [ -z "$silent" ] || kill -KILL "$silent" 2>/dev/null
  return 0
}
mine=
claim() {
  mkdir "$lock" 2>/dev/null || return 1
  lpid=$1 lremote=$2
  born "$lpid"
  set -f; IFS=$us
  set -- $who
  set +f; unset IFS
  { printf 'nonce=%s\npid=%s\nborn=%s\nboot=%s\nremote=%s\n' "$nonce" "$lpid" "$b" "$boot" "$lremote"; printf '%s\n' "$@"; } >"$lock/owner.new" &&
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
  born $$
  echo "$$ $b" >"$lock.take/by"
}
leave() { rm -rf "$lock.take"; }
strange() { # sets why when what stands at the lock's place is no lock of ours: who holds what cannot be known from it
  why=
  if [ -L "$lock" ] || { [ -e "$lock" ] && [ ! -d "$lock" ]; }; then why="$lock is not a directory of ours"
  elif [ -L "$lock/owner" ] || { [ -e "$lock/owner" ] && { [ ! -f "$lock/owner" ] || [ ! -r "$lock/owner" ]; }; }; then
    why="$lock/owner cannot be read, so that nobody knows whether its run lives"
  fi
  [ -n "$why" ]
}
take() {
  if [ "$owner" = 0 ]; then set -- $$ 1; else set -- "$owner" 0; fi
  n=0 odd=0 gone=0
  while :; do
    claim "$1" "$2" && return 0
    # What is not ours is neither followed nor cleared. A lock that is let go between two looks seems strange once, not three times.
    if strange; then
      odd=$((odd + 1))
      [ "$odd" -lt 3 ] || { say nolock "$why"; return 1; }
      sleep 0.1 2>/dev/null || sleep 1
      continue
    fi
    odd=0
    if ! { echo room >"$state/room.$$"; } 2>/dev/null; then
      rm -f "$state/room.$$"
      say nolock "nothing can be written in $state: its disk is full, or it is read-only"
      return 1
    fi
    rm -f "$state/room.$$"
    if [ ! -d "$lock" ]; then
      gone=$((gone + 1))
      [ "$gone" -lt 10 ] || { say nolock "$lock cannot be made"; return 1; }
      sleep 0.1 2>/dev/null || sleep 1
      continue
    fi
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
      field run
      say cleared "$v"
      rm -rf "$lock"
    fi
    leave
  done
}
let_go() {
  trap '' HUP INT TERM PIPE
  [ -n "$mine" ] || return 0
  mine=
  { field nonce; } 2>/dev/null
  [ "$v" = "$nonce" ] && for e in "$lock"/engine*; do end_engine "$e"; done
  # While engines were ended, a later run may have taken this lock over: behind the door it is ours or it stays.
  enter || return 0
  { field nonce; } 2>/dev/null
  if [ "$v" = "$nonce" ]; then rm -rf "$lock" "$lock.take"; else leave; fi
}
trap 'let_go; exit 143' HUP INT TERM
trap 'let_go' EXIT

now=$(date +%s.%N 2>/dev/null)
say clock "$now"
if [ "$want" = lock ]; then
  if { [ -d "$state" ] || mkdir -p "$state" 2>/dev/null; } && [ -w "$state" ]; then
    if take; then say lock held; else say lock refused; printf '%s END\n' "$nonce"; exit 0; fi
  else say statedir bad; fi
elif [ -e "$lock" ] || [ -L "$lock" ]; then
  # Only looked at: what is said here ends nobody and clears nothing. A lock without an owner may be one that is being made.
  if strange; then say lockodd "$why"
  elif [ -s "$lock/owner" ] || [ -n "$(find "$lock" -prune -mmin +1 2>/dev/null)" ]; then
    if gone; then { field run; } 2>/dev/null; say lockdead "${v:-unknown}"; fi
  fi
fi
say state "$state"
# The root and the file that is the engine are looked at together.
program=$(command -v "$unison" 2>/dev/null)
set --
[ -L "$root" ] && say rootlink 1
[ -d "$root" ] && cd -P "$root" 2>/dev/null && set -- .
case $program in /*) set -- "$@" "$program" ;; esac
look=
[ $# -eq 0 ] || look=$(ls -lLdi "$@" 2>/dev/null)
rootid= seen=
set -f
IFS=$nl
for line in $look; do
  # How wide a column is depends on both.
  IFS=' '
  set -- $line
  case "$*" in *' .') rootid=$1 ;; ?*) seen="$*" ;; esac
done
set +f
unset IFS
if [ -n "$rootid" ]; then
  say root "$PWD"
  say rootid "$rootid"
  [ -r . ] && [ -w . ] && [ -x . ] && say rootrwx 1
  [ -f "$marker" ] && [ ! -L "$marker" ] && say marker 1
  df -Pk . "$state" 2>/dev/null | {
    read -r _
    read -r d _ _ a _ on && say space "$a"
    read -r e _ _ a _ at && [ "$d $on" != "$e $at" ] && say statespace "$a"
  }
elif [ -e "$root" ]; then say rootbad "not a directory, or closed to this user"
else say rootbad missing; fi
# The engine's version is asked once for each file that is the engine: asking costs more than looking.
known=$state/engine-version
{ IFS= read -r told; IFS= read -r version; } 2>/dev/null <"$known" || told=
if [ -z "$seen" ] || [ "$told" != "$seen" ]; then
  version=$("$unison" -version 2>/dev/null)
  version=${version%%"$nl"*}
  # Not of a script, which may start another program tomorrow, nor of one so young that two versions could look alike.
  case $version in
  unison*)
    [ "$want" != lock ] || [ -z "$seen" ] || [ ! -d "$state" ] || [ "$(head -c 2 "$program" 2>/dev/null)" = '#!' ] ||
      [ -n "$(find -L "$program" -prune -mmin -1440 2>/dev/null)" ] ||
      { printf '%s\n%s\n' "$seen" "$version" >"$known.$$" && mv "$known.$$" "$known"; } 2>/dev/null
    ;;
  esac
fi
say unison "$version"
sha=none
for s in sha256sum shasum openssl; do command -v $s >/dev/null 2>&1 && { sha=$s; break; }; done
say sha $sha
if find / -prune -printf '' 2>/dev/null; then style=gnu; elif stat -f %z / >/dev/null 2>&1; then style=bsd; else style=none; fi
say stat $style
p=$state/pairs/$pair
for g in "$p"/archives/*/ok; do [ -f "$g" ] && IFS= read -r v <"$g" && { d=${g%/ok}; say gen "${d##*/} $v"; }; done
for r in "$p"/runs/*/pending; do [ -f "$r" ] && { d=${r%/pending}; say pending "${d##*/}"; }; done
[ -f "$p/synced" ] && say synced 1
[ -f "$p/held" ] && say heldby "$(head -n 1 "$p/held")"
[ -f "$p/undoing" ] && say undoing "$(head -n 1 "$p/undoing")"

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
# Excluded directories are shown but not entered. Whether it is a directory is said alone: find asks for names first where it can,
# and would do so of each file.
f='%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0'
bsd="%n$nonce|%HT|%z|%Fm|%Fc|%i|%Lp|%N$nonce%Y"
case $style in
gnu) set -- "$@" ! -type d -printf "$f" -o ;;
*) set -- "$@" ! -type d -print0 -o ;;
esac
set -- "$@" '(' -name ''
i=0
while [ "$i" -lt "$prunes" ]; do IFS= read -r x; set -- "$@" -o -name "$x"; i=$((i + 1)); done
set -- "$@" ')'
say swept "$now"
[ "$list" = 0 ] || printf '%s SWEEP %s\n' "$nonce" "$style"
# The directories on the way to what is listed, by themselves.
[ "$above" -eq 0 ] || (
  set --
  while [ $# -lt "$above" ]; do IFS= read -r x; set -- "$@" "./$x"; done
  [ "$list" = 1 ] && [ -n "${rootid:-}" ] || exit 0
  case $style in
  gnu) find "$@" -prune -printf "$f" ;;
  bsd) stat -f "$bsd" "$@" ;;
  esac 2>/dev/null
)
if [ "$list" = 1 ]; then
  rc=0
  if [ "$roots" -gt 0 ] && [ -n "${rootid:-}" ]; then
    case $style in
    gnu) find "$@" -printf "$f" -prune -o -printf "$f" 2>/dev/null || rc=1 ;;
    bsd) find "$@" -print0 -prune -o -print0 2>/dev/null | xargs -0 stat -f "$bsd" 2>/dev/null ;;
    esac
  fi
  printf '\0\n%s SWEPT %s\n' "$nonce" $rc
  if [ -n "${rootid:-}" ] && { [ $rc -ne 0 ] || [ "$style" = bsd ]; }; then
    # Something could not be read: name the directories, so that they are unknown and not empty.
    find . -type d -exec sh -c 'for d; do [ -r "$d" ] && [ -x "$d" ] || printf "%s\0" "$d"; done' sh {} + 2>/dev/null
  fi
fi
printf '\0\n%s END\n' "$nonce"

while IFS= read -r line; do
  case $line in
  clock) printf '%s CLOCK %s\n' "$nonce" "$(date +%s.%N 2>/dev/null)" ;;
  *) [ -n "$mine" ] && : >"$lock/beat" ;;
  esac
done
let_go
