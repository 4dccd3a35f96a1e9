# Behind names.sh: the sha256 of the named files, one line each, in order, empty when unreadable. `bulk` names hold nothing that the
# tools would escape; the others go one by one.
IFS= read -r how || exit 97
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
if command -v sha256sum >/dev/null 2>&1; then t=sha256sum
elif command -v shasum >/dev/null 2>&1; then t='shasum -a 256'
else t='openssl dgst -sha256 -r'; fi
each='printf "%s\n" "$( [ -f "$2" ] && [ ! -L "$2" ] && $1 2>/dev/null <"$2" | cut -c1-64)"'
case $how$few in
bulk0) xargs -0 sh -c 't=$1; shift; [ $# -eq 0 ] || $t "$@"' sh "$t" 2>/dev/null ;;
each0) xargs -0 -n 1 sh -c "$each" sh "$t" ;;
bulk*) $t "$@" 2>/dev/null ;;
each*) for x; do set -- "$t" "$x"; eval "$each"; done ;;
esac
printf '%s END\n' "$nonce"
