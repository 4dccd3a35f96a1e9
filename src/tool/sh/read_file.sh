# Bytes of a plain file from an offset on, at most so many; nothing is reached through a link.
export LC_ALL=C
for v in nonce root path offset most; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
path=$(printf '%b.' "$path") path=${path%.}
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
case $path in /*) ;; *) path=./$path ;; esac
[ ! -L "$path" ] && [ -f "$path" ] || exit 1
tail -c +$((offset + 1)) "$path" | head -c "$most"
printf '%s END\n' "$nonce"
