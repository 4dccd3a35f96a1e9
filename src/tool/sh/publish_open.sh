# Opens a target: says what it is and what it holds, takes its lock when asked to and when the target is ours already, and
# holds that until standard input ends.
for v in nonce path want who layout known; do IFS= read -r "$v" || exit 97; done
case $path in /*) ;; *) path=$HOME/$path ;; esac
printf '\n%s BEGIN\n' "$nonce"
mine=
lock=
field() { sed -n "s/^$1=//p" "$lock/owner" 2>/dev/null | head -n 1; }
gone() { # is the lock's owner gone? One that has been silent for two minutes counts as gone.
  alive "$(field pid)" "$(field born)" "$(field boot)" || return 0
  [ -n "$(find "$lock/beat" -prune -mmin +2 2>/dev/null)" ] && { kill -KILL "$(field pid)" 2>/dev/null; return 0; }
  return 1
}
end_jobs() {
  for j in "$1"/job.*; do
    [ -r "$j" ] && read -r jpid jborn <"$j" || continue
    n=0
    while alive "$jpid" "$jborn" "$boot" && [ $n -lt 20 ]; do
      if [ $n -lt 10 ]; then kill -TERM "$jpid" 2>/dev/null; else kill -KILL "$jpid" 2>/dev/null; fi
      n=$((n + 1))
      nap
    done
  done
}
claim() {
  why=$(mkdir "$lock" 2>&1) || return 1
  why=$({ printf 'nonce=%s\npid=%s\nborn=%s\nboot=%s\n%s\n' "$nonce" $$ "$(born $$)" "$boot" "$who" | tr '\037' '\n' >"$lock/owner.new" &&
    mv -f "$lock/owner.new" "$lock/owner" && : >"$lock/beat"; } 2>&1) && mine=1 && return 0
  # Nobody is to wait for a lock that could not be made.
  rm -f "$lock/owner.new" "$lock/owner" "$lock/beat"
  rmdir "$lock" 2>/dev/null
  return 1
}
take() {
  tries=0
  while [ $tries -lt 12 ]; do
    tries=$((tries + 1))
    [ -L "$lock" ] && return 1
    claim && return 0
    # It may have been let go just now, but not again and again.
    [ -e "$lock" ] || { [ $tries -lt 4 ] || { say unlockable "$(printf %s "${why:-no room}" | tr '\n' ' ')"; return 1; }; continue; }
    # Its maker may be about to say who it is.
    [ -s "$lock/owner" ] || [ $tries -gt 6 ] || { nap; continue; }
    if [ -s "$lock/owner" ] && ! gone; then
      sed 's/^/holder /' "$lock/owner" 2>/dev/null
      return 1
    fi
    was=$(cat "$lock/owner" 2>/dev/null)
    end_jobs "$lock"
    mv "$lock" "$lock.dead.$$" 2>/dev/null || continue
    # Somebody may have been quicker and hold it by now: then it goes back.
    if [ "$(cat "$lock.dead.$$/owner" 2>/dev/null)" = "$was" ]; then rm -rf "$lock.dead.$$"; else mv "$lock.dead.$$" "$lock"; fi
  done
  return 1
}
let_go() {
  trap '' HUP INT TERM PIPE
  [ -n "$mine" ] || return 0
  mine=
  [ "$(field nonce)" = "$nonce" ] || return 0
  end_jobs "$lock"
  [ "$(field nonce)" = "$nonce" ] && rm -rf "$lock"
}
trap 'let_go; exit 143' HUP INT TERM
trap 'let_go' EXIT

say home "$(cd "$HOME" 2>/dev/null && pwd -P)"
for s in sha256sum shasum openssl none; do { [ $s = none ] || command -v $s >/dev/null 2>&1; } && break; done
say sha $s
# A newer rsync beside the system's own is the better one.
for r in /opt/homebrew/bin/rsync /usr/local/bin/rsync "$(command -v rsync)" ''; do { [ -z "$r" ] || [ -x "$r" ]; } && break; done
say rsync "$r"
[ -z "$r" ] || say rsyncsays "$("$r" --version 2>/dev/null | head -n 1)"
if [ -d "$path" ] && cd "$path" 2>/dev/null; then
  root=$(pwd -P)
  say root "$root"
  [ -r . ] && [ -w . ] && [ -x . ] && say usable 1
  say space "$(df -Pk . 2>/dev/null | { read -r _; read -r _ _ _ a _; echo "$a"; })"
  lock=$root/$own/lock
  if [ -L "$own" ] || { [ -e "$own" ] && [ ! -d "$own" ]; }; then say bad "$own is not a directory of ours"
  elif [ -d "$own" ]; then
    say ours 1
    [ "$want" != hold ] || { take && say lock held; }
  fi
  strangers=0
  for e in * .[!.]* ..?*; do
    { [ -e "$e" ] || [ -L "$e" ]; } || continue
    case $e in "$own" | .sync_rev | current | releases) ;; *) strangers=$((strangers + 1)) ;; esac
  done
  say strangers $strangers
  tree=. base=manifest
  if [ "$layout" = releases ]; then
    if { [ -e releases ] && [ ! -d releases ]; } || [ -L releases ]; then say bad "releases is not a directory"; fi
    if [ -e current ] && [ ! -L current ]; then say bad "current is not a link"; fi
    live
    tree=
    [ -z "$release" ] || { say release "$release"; tree=releases/$release base=manifest.$release; }
  fi
  if [ -n "$tree" ]; then
    [ -f "$tree/.sync_rev" ] && [ ! -L "$tree/.sync_rev" ] && say rev "$(head -n 1 "$tree/.sync_rev" | cut -c1-120)"
    if [ -f "$own/$base" ]; then
      has=$(hash <"$own/$base")
      say base "$has"
      [ "$has" = "$known" ] || { printf '%s MANIFEST\n' "$nonce"; cat "$own/$base"; printf '\n%s MANIFESTED\n' "$nonce"; }
    fi
    for f in "$own"/pending.*; do
      [ -f "$f" ] && { printf '%s PENDING\n' "$nonce"; cat "$f"; printf '\n%s PENDED\n' "$nonce"; }
    done
    (cd "$tree" && sweep)
  fi
elif [ -e "$path" ] || [ -L "$path" ]; then say bad "it is not a directory, or closed to this user"
else
  say absent 1
  up=$path
  while [ -n "$up" ] && [ ! -d "$up" ]; do up=${up%/*}; done
  up=${up:-/}
  say space "$(df -Pk "$up" 2>/dev/null | { read -r _; read -r _ _ _ a _; echo "$a"; })"
  [ -w "$up" ] && [ -x "$up" ] || say bad "$up may not be written by this user"
fi
printf '%s END\n' "$nonce"
while IFS= read -r line; do [ -z "$mine" ] || : >"$lock/beat"; done
let_go
