# Behind names.sh: the facts of the named paths, as the sweep shows them; `deep`: and of all that lies below them.
for v in style depth; do IFS= read -r "$v" || exit 97; done
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
