# Puts paths of this host's root back, one action on five lines: what, mode, time, the run whose folder holds the content, the
# path, escaped for printf %b. What stands there is copied into this run's own folder first. Neighbours are done together, because a
# program for each file would take longer than the files. Nothing is reached through a link. Answers `bad N` for a line
# that could not be done, as when the path was changed after this rollback began.
export LC_ALL=C TZ=UTC
umask 077
for v in nonce state root pair run actions; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
p=$state/pairs/$pair
new=$p/runs/$run/backup
printf '\n%s BEGIN\n' "$nonce"
mkdir -p "$new" && [ -f "$p/undoing" ] && cd "$root" || exit 1
exists() { [ -e "$1" ] || [ -L "$1" ]; }
# Whether every directory on the way to each path is one.
straight() {
  for y; do
    while y=${y%/*} && [ "$y" != . ]; do
      { [ -d "$y" ] && [ ! -L "$y" ]; } || return 1
    done
  done
}
# Copies what stands at paths of one directory into this run's folder, unless it lies there from an attempt before. Then the
# last look: whether one of them is younger than this rollback.
away() {
  for y; do
    shift
    ! exists "$y" || set -- "$@" "$y"
  done
  [ $# -gt 0 ] || return 0
  case $what in *-late) ;; *) [ -z "$(find "$@" -prune -newer "$p/undoing")" ] || return 1 ;; esac
  for y; do
    shift
    exists "$new/$y" || set -- "$@" "$y"
  done
  [ $# -eq 0 ] || { mkdir -p "$new/$dir" && cp -pRP "$@" "$new/$dir/"; }
}
# Stages beside the final places under a name that the next run would sweep up, then renames.
lay() {
  away "$@" || return 1
  s=$dir/.unison.rollback-$nonce.unison.tmp
  rm -rf "$s" && mkdir "$s" || return 1
  for y; do
    shift
    set -- "$@" "$p/runs/$from/backup/$y"
  done
  cp -pRP "$@" "$s/" && { sync "$s"/* 2>/dev/null || sync; } || { rm -rf "$s"; return 1; }
  for y; do
    shift
    set -- "$@" "$s/${y##*/}"
  done
  mv -f "$@" "$dir/"
  rmdir "$s" 2>/dev/null || { rm -rf "$s"; return 1; }
}
meta() {
  for y; do exists "$y" && [ ! -L "$y" ] || return 1; done
  [ -z "$mode" ] || chmod "$mode" "$@" || return 1
  [ -z "$time" ] || touch -c -d "$time" "$@"
}
batch() {
  straight "$@" || return 1
  case $what in
  aside) for y; do exists "$y" && ! exists "$y.$mode" && mv "$y" "$y.$mode" || return 1; done ;;
  open) chmod u+rwx "$@" ;;
  remove*) away "$@" && rm -f "$@" ;;
  rmdir) rmdir "$@" 2>/dev/null || : ;;
  mkdir) for y; do { [ -d "$y" ] && [ ! -L "$y" ]; } || mkdir "$y" || return 1; done ;;
  lay*) lay "$@" ;;
  meta) meta "$@" ;;
  linktime) [ -z "$time" ] || touch -h -c -d "$time" "$@" 2>/dev/null || : ;;
  *) return 1 ;;
  esac
}
# What cannot be done together is tried one by one, so that one path does not take its neighbours along.
done_together() {
  [ $# -gt 0 ] || return 0
  batch "$@" && return 0
  n=$((i - $#))
  for z; do
    { [ $# -gt 1 ] && batch "$z"; } || echo "bad $n"
    n=$((n + 1))
  done
}
i=0 key=
set --
while [ "$i" -lt "$actions" ]; do
  for v in w m t f x; do IFS= read -r "$v" || exit 1; done
  # Relative; what leads upwards was refused before it was sent. The dot keeps line breaks at the end of a name.
  case $x in *\\*) x=$(printf '%b.' "$x") x=${x%.} ;; esac
  x=./$x
  k=$w,$m,$t,$f
  case $w in lay* | remove*) k=$k,${x%/*} ;; esac
  if [ "$k" != "$key" ] || [ $# -ge 100 ]; then
    done_together "$@"
    set --
    key=$k what=$w mode=$m time=$t from=$f dir=${x%/*}
  fi
  set -- "$@" "$x"
  i=$((i + 1))
done
done_together "$@"
printf '%s END\n' "$nonce"
