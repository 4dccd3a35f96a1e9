# Bytes of a packed log from an offset on, at most so many.
export LC_ALL=C
for v in nonce root path offset most; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
path=$(printf '%b.' "$path") path=${path%.}
printf '\n%s BEGIN\n' "$nonce"
cd "$root" 2>/dev/null
case $path in /*) ;; *) path=./$path ;; esac
[ ! -L "$path" ] && [ -f "$path" ] && gzip -dc <"$path" 2>/dev/null | tail -c +$((offset + 1)) | head -c "$most"
printf '%s END\n' "$nonce"
