# Mends one thing on this host, or only says whether it could: `do` or `show`. Nothing that exists is replaced, and nothing is made
# where a disk should be mounted and is not. What is mended already is well.
export LC_ALL=C
for v in nonce how what path name fstab; do IFS= read -r "$v" || exit 97; done
case $path in /*) ;; *) path=$HOME/$path ;; esac
printf '\n%s BEGIN\n' "$nonce"
yes() { printf 'yes 1\n%s END\n' "$nonce"; exit 0; }
no() { printf 'no %s\n%s END\n' "$1" "$nonce"; exit 0; }
unmounted() { # PATH DIR: does PATH lie where the table of file systems has a disk that DIR, which exists, is not on?
  [ -r "$fstab" ] || return 1
  on=$(df -Pk "$2" 2>/dev/null | sed -n '2s/^.*% //p')
  while read -r dev at _; do
    case $dev in '' | '#'*) continue ;; esac
    case $at in /?*) at=${at%/} ;; *) continue ;; esac
    # Blanks stand in the table as their octal numbers.
    case $at in *\\*) at=$(printf '%b.' "$at") at=${at%.} ;; esac
    case $1/ in "$at"/*) case ${on%/}/ in "$at"/*) ;; *) return 0 ;; esac ;; esac
  done <"$fstab"
  return 1
}
away="the table of file systems ($fstab) has a disk for that place, and it is not mounted"
case $what in
marker)
  cd "$path" 2>/dev/null || no "the root may not be entered"
  unmounted "$(pwd -P)" . && no "$away"
  [ -f "$name" ] && [ ! -L "$name" ] && yes
  if [ -e "$name" ] || [ -L "$name" ]; then no "something else stands in its place"; fi
  held=
  for e in * .[!.]* ..?*; do
    if [ -e "$e" ] || [ -L "$e" ]; then
      case $e in lost+found | .ubos-sync.* | .Trash* | .DS_Store | .fseventsd | .Spotlight-*) ;; *) held=1; break ;; esac
    fi
  done
  [ -n "$held" ] || no "the root is empty, as the place of a disk that is not mounted would be"
  [ -w . ] || no "the root may not be written"
  [ "$how" = show ] || (set -C; : >"$name") 2>/dev/null || no "it cannot be made"
  ;;
dir)
  [ -d "$path" ] && yes
  if [ -e "$path" ] || [ -L "$path" ]; then no "something else stands in its place"; fi
  near=$path
  while [ -n "$near" ] && [ ! -d "$near" ]; do near=${near%/*}; done
  near=${near:-/}
  # A link on the way may lead to where a disk belongs.
  real=$(cd -P "$near" 2>/dev/null && pwd -P) || no "$near may not be entered"
  unmounted "$real${path#"$near"}" "$real" && no "$away"
  [ -w "$near" ] || no "$near may not be written"
  umask 077
  [ "$how" = show ] || mkdir -p "$path" 2>/dev/null || no "it cannot be made"
  ;;
private)
  [ -L "$path" ] && no "it is a link"
  [ -e "$path" ] || no "it is not there any more"
  set -f
  set -- $(ls -ldn "$path" 2>/dev/null)
  [ "${3:-}" = "$(id -u)" ] || no "it belongs to another user"
  [ "$how" = show ] || chmod go= "$path" 2>/dev/null || no "its mode cannot be changed"
  ;;
esac
yes
