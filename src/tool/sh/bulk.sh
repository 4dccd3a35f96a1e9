# Gives new files and whole new directories their places, out of a stage that lies in the directory where they belong: by hard links
# and renames, neither of which ever replaces a file. Their names come NUL-separated on standard input. Answers `bad` when one of
# them could not be done; what then is where it belongs and what is not is looked up.
export LC_ALL=C
for v in nonce root place stage; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
case $place in *\\*) place=$(printf '%b.' "$place") place=${place%.} ;; esac
printf '\n%s BEGIN\n' "$nonce"
# Nothing is reached through a link.
x=$place
while [ "$x" != . ]; do
  { [ -d "$root/$x" ] && [ ! -L "$root/$x" ]; } || exit 1
  case $x in */*) x=${x%/*} ;; *) x=. ;; esac
done
cd "$root/$place" || exit 1
xargs -0 -n 500 sh -c '
  s=$1
  shift
  for x; do
    shift
    if [ ! -d "$s/$x" ]; then set -- "$@" "$s/$x"
    elif [ -e "$x" ] || [ -L "$x" ]; then echo bad
    else mv "$s/$x" . || echo bad; fi
  done
  [ $# -eq 0 ] || ln "$@" . || echo bad
' sh "$stage" 2>/dev/null
printf '%s END\n' "$nonce"
