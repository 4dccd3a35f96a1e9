# sha256 of named files (NUL-separated on standard input, relative to the root): one line each, in order, empty when unreadable.
# `bulk` names hold nothing that the tools would escape; the others go one by one.
export LC_ALL=C
for v in nonce root how; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
if command -v sha256sum >/dev/null 2>&1; then t=sha256sum
elif command -v shasum >/dev/null 2>&1; then t='shasum -a 256'
else t='openssl dgst -sha256 -r'; fi
case $how in
bulk) xargs -0 sh -c 't=$1; shift; [ $# -eq 0 ] || $t "$@"' sh "$t" 2>/dev/null ;;
each) xargs -0 -n 1 sh -c 'printf "%s\n" "$( [ -f "$2" ] && [ ! -L "$2" ] && $1 2>/dev/null <"$2" | cut -c1-64)"' sh "$t" ;;
esac
printf '%s END\n' "$nonce"
