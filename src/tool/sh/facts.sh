# The facts of named paths (NUL-separated on standard input, relative to the root), as the sweep shows them; `deep`: and of all
# that lies below them.
export LC_ALL=C
for v in nonce root style depth; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
printf '%s SWEEP %s\n' "$nonce" "$style"
case $style in
gnu)
  xargs -0 sh -c 'd=$1; shift; [ $# -eq 0 ] && exit; [ "$d" = deep ] || set -- "$@" -prune
    find "$@" -printf "%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0"' sh "$depth" 2>/dev/null ;;
bsd)
  if [ "$depth" = deep ]; then xargs -0 sh -c '[ $# -eq 0 ] || find "$@" -print0' sh 2>/dev/null; else cat; fi |
    xargs -0 stat -f "%n$nonce|%HT|%z|%Fm|%Fc|%i|%Lp|%N$nonce%Y" 2>/dev/null ;;
esac
printf '\0\n%s SWEPT 0\n\0\n%s END\n' "$nonce" "$nonce"
