# Puts paths of this host's root back, one action a line: what, mode, time, path in octal escapes. What has to go is moved into the
# run's own backup first. Nothing is reached through a link. Answers `bad N` for a line that could not be done.
export LC_ALL=C TZ=UTC
umask 077
for v in nonce state root pair from run actions; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
old=$state/pairs/$pair/runs/$from/backup
new=$state/pairs/$pair/runs/$run/backup
printf '\n%s BEGIN\n' "$nonce"
mkdir -p "$new" || exit 1
cd "$root" || exit 1
# Whether every directory on the way to a path is one.
straight() {
  y=$1
  while :; do
    case $y in */*) y=${y%/*} ;; *) return 0 ;; esac
    { [ -d "$y" ] && [ ! -L "$y" ]; } || return 1
  done
}
# Moves what stands at a path into the run's backup.
away() {
  { [ -e "$1" ] || [ -L "$1" ]; } || return 0
  case $1 in */*) mkdir -p "$new/${1%/*}" || return 1 ;; esac
  [ ! -e "$new/$1" ] && [ ! -L "$new/$1" ] || return 0
  cp -pR "$1" "$new/$1"
}
dated() { touch -c -d "$1" "$2" 2>/dev/null; }
one() {
  straight "$x" || return 1
  case $what in
  aside) { [ -e "$x" ] || [ -L "$x" ]; } && [ ! -e "$x.$mode" ] && mv "$x" "$x.$mode" ;;
  remove) away "$x" && rm -f "$x" ;;
  rmdir) [ ! -d "$x" ] || rmdir "$x" 2>/dev/null ;;
  mkdir) { [ -d "$x" ] && [ ! -L "$x" ]; } || mkdir "$x" && chmod "$mode" "$x" ;;
  file)
    { [ -f "$old/$x" ] && [ ! -L "$old/$x" ]; } || return 1
    case $x in */*) s=${x%/*}/.ubos-sync.$nonce ;; *) s=.ubos-sync.$nonce ;; esac
    away "$x" || return 1
    cp -p "$old/$x" "$s" && chmod "$mode" "$s" && dated "$time" "$s" && sync "$s" 2>/dev/null; mv -f "$s" "$x"
    ;;
  link)
    [ -L "$old/$x" ] || return 1
    case $x in */*) s=${x%/*}/.ubos-sync.$nonce ;; *) s=.ubos-sync.$nonce ;; esac
    away "$x" || return 1
    rm -f "$x"
    cp -pR "$old/$x" "$s" && { touch -h -c -d "$time" "$s" 2>/dev/null || :; } && mv -f "$s" "$x"
    ;;
  meta) [ ! -L "$x" ] && chmod "$mode" "$x" && { [ -z "$time" ] || dated "$time" "$x"; } ;;
  *) return 1 ;;
  esac
}
i=0
while [ "$i" -lt "$actions" ]; do
  IFS= read -r what
  IFS= read -r mode
  IFS= read -r time
  IFS= read -r x
  x=$(printf '%b.' "$x") x=${x%.}
  # Relative and without a dash in front; what leads upwards was refused before it was sent.
  one || echo "bad $i"
  i=$((i + 1))
done
printf '%s END\n' "$nonce"
