# Behind sha.sh: prepares or publishes one generation. `prepare`: the run's archives plus the manifest become a folder that nobody looks at yet;
# answers its digest. `recover` does the same with the archives of the current generation, for a run that died. The manifest is a
# file that generations share, and `delta`: the digest of that file, and what has been said since, to which standard input is added.
# A tree of many files is neither copied nor hashed for one of them. With `whole` for a digest, standard input is all of it.
# `publish`: one rename makes it current.
export LC_ALL=C
umask 077
for v in nonce state pair run gen step keep losers digest serial; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
p=$state/pairs/$pair
a=$p/archives
# One that is not there (there may be no archives) would have every disk of the host written out.
flush() { for f; do shift; [ ! -e "$f" ] || set -- "$@" "$f"; done; sync "$@" 2>/dev/null || sync; }
printf '\n%s BEGIN\n' "$nonce"
case $step in
prepare | recover)
  # A step that is done again: what the first one moved goes back.
  if [ -e "$a/.new-$run" ]; then
    [ "$step" = recover ] || [ ! -d "$p/runs/$run/unison" ] || mv "$a/.new-$run/unison"/* "$p/runs/$run/unison/" 2>/dev/null
    rm -rf "$a/.new-$run"
  fi
  mkdir -p "$a/.new-$run/unison" || exit 1
  if [ "$step" = prepare ] && [ -d "$p/runs/$run/unison" ]; then
    set --
    for f in "$p/runs/$run/unison"/ar* "$p/runs/$run/unison"/fp*; do [ -f "$f" ] && set -- "$@" "$f"; done
    # Moved, since they are megabytes and this engine has ended.
    [ $# -eq 0 ] || mv "$@" "$a/.new-$run/unison/" || exit 1
  elif [ -n "$gen" ] && [ -d "$a/$gen/unison" ]; then
    # A second name for each where the file system has that: nobody ever writes into the archives of a generation.
    set --
    for f in "$a/$gen/unison"/*; do [ -f "$f" ] && set -- "$@" "$f"; done
    [ $# -eq 0 ] || ln "$@" "$a/.new-$run/unison/" 2>/dev/null || cp -pf "$@" "$a/.new-$run/unison/" || exit 1
  fi
  n=$a/.new-$run
  if [ "$digest" = whole ] || [ -z "$gen" ] || [ ! -f "$a/$gen/manifest" ]; then
    cat >"$n/manifest" || exit 1
  else
    { ln "$a/$gen/manifest" "$n/" 2>/dev/null || cp -pf "$a/$gen/manifest" "$n/"; } || exit 1
    # An earlier version wrote none.
    [ ! -f "$a/$gen/delta" ] || cat "$a/$gen/delta" - >"$n/delta" || exit 1
  fi
  if [ ! -f "$n/delta" ]; then
    d=$(sha <"$n/manifest") || exit 1
    { echo "${d%% *}" && cat; } >"$n/delta" || exit 1
  fi
  d=$(sha <"$n/delta") || exit 1
  d=${d%% *}
  # What it was made from is told: a rollback goes past those that are not to be believed any more.
  printf '%s %s %s\n' "$d" "$serial" "${gen:--}" >"$n/ok" || exit 1
  flush "$n"/* "$n"/unison/*
  echo "digest $d" ;;
publish)
  if [ -d "$a/.new-$run" ]; then
    read -r d _ <"$a/.new-$run/ok" && [ "$d" = "$digest" ] || exit 1
    # Gone, to whoever looks: a folder under its final name is complete.
    [ ! -e "$a/$run" ] || rm -rf "$a/$run"
    mv "$a/.new-$run" "$a/$run" || exit 1
  fi
  [ -d "$a/$run" ] || exit 1
  : >"$p/synced"
  rm -f "$p/runs"/*/pending
  flush "$a" "$p/synced"
  # Older generations and run folders beyond what is kept. Their names tell the time of whichever host drove, and clocks differ.
  # They go all at once, since to start a program for each is most of what this costs.
  old=
  n=-1
  ours() { case ${1##*/} in '' | *[!A-Za-z0-9-]*) return 1 ;; esac; }
  for d in "$a"/*; do [ "$d" = "$a/$gen" ] || ! ours "$d" || n=$((n + 1)); done
  # Whatever else somebody has put there: a name is a name.
  set -f
  if [ "$n" -ge "$keep" ]; then
    n=0
    set -- $(set +f; for d in "$a"/*; do ours "$d" || continue; s=; [ ! -f "$d/ok" ] || read -r _ s _ <"$d/ok"; echo "${s:-0} ${d##*/}"; done | sort -rn)
    while [ $# -gt 1 ]; do
      [ "$2" = "$gen" ] || { n=$((n + 1)); [ $n -le "$keep" ] || old="$old archives/$2"; }
      shift 2
    done
  fi
  # Losers of conflicts stay for their days, unfinished runs and those of a held pair stay anyway.
  n=0
  [ -f "$p/held" ] || for d in $(ls -t "$p/runs" 2>/dev/null); do
    ours "$d" || continue
    d=$p/runs/$d
    # Of a run that died before it could change anything. It must not count: it would push out what another one has kept.
    if [ -f "$d/engine.sh" ] && [ ! -f "$d/snapshot.json" ] && [ ! -f "$d/pending" ] && rmdir "$d/backup" 2>/dev/null; then
      old="$old runs/${d##*/}"
      continue
    fi
    n=$((n + 1))
    [ $n -gt "$keep" ] && [ ! -f "$d/pending" ] || continue
    [ ! -f "$d/losers" ] || [ -n "$(find "$d/losers" -prune -mtime "+$losers" 2>/dev/null)" ] || continue
    old="$old runs/${d##*/}"
  done
  [ -z "$old" ] || (cd "$p" && rm -rf $old)
  set +f
  for d in "$a"/.new-*; do [ ! -d "$d" ] || rm -rf "$d"; done
  echo done ;;
discard)
  rm -rf "$p/runs/$run" ;;
esac
printf '%s END\n' "$nonce"
