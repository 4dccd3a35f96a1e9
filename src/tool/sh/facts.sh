# The facts of named paths (relative to the root), as the sweep shows them; `deep`: and of all that lies below them. Few names
# come as parameters, escaped where they have to be, which spares the programs that read many of them, NUL-separated, from
# standard input.
export LC_ALL=C
for v in nonce root style depth few; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
set --
while [ $# -lt "$few" ]; do
  IFS= read -r x || exit 97
  case $x in *\\*) x=$(printf '%b.' "$x") x=${x%.} ;; esac
  set -- "$@" "$x"
done
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
printf '%s SWEEP %s\n' "$nonce" "$style"
f='%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0'
case $style in
gnu)
  if [ "$few" -gt 0 ]; then
    [ "$depth" = deep ] || set -- "$@" -prune
    find "$@" -printf "$f" 2>/dev/null
  else
    xargs -0 sh -c 'd=$1 f=$2; shift 2; [ $# -eq 0 ] && exit; [ "$d" = deep ] || set -- "$@" -prune
      find "$@" -printf "$f"' sh "$depth" "$f" 2>/dev/null
  fi ;;
bsd)
  names() { if [ "$few" -gt 0 ]; then printf '%s\0' "$@"; else cat; fi; }
  if [ "$depth" = deep ]; then names "$@" | xargs -0 sh -c '[ $# -eq 0 ] || find "$@" -print0' sh 2>/dev/null; else names "$@"; fi |
    xargs -0 stat -f "%n$nonce|%HT|%z|%Fm|%Fc|%i|%Lp|%N$nonce%Y" 2>/dev/null ;;
esac
printf '\0\n%s SWEPT 0\n\0\n%s END\n' "$nonce" "$nonce"
