# The hands of the acceptance tests on one host, in a scratch folder of their own inside the root; nothing outside it is touched.
export LC_ALL=C TZ=UTC
for v in nonce root scratch what path value; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
case $scratch in .ubos-sync.librarian-*) ;; *) exit 1 ;; esac
case $scratch in */*) exit 1 ;; esac
value=$(printf '%b.' "$value") value=${value%.}
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
case $what in
make) mkdir "$scratch" && : >"$scratch/$path" || exit 1 ;;
drop) [ -L "$scratch" ] || rm -rf "$scratch" || exit 1 ;;
*) cd "$scratch" || exit 1 ;;
esac
case $what in
write) case $path in */*) mkdir -p "${path%/*}" || exit 1 ;; esac; printf '%s' "$value" >"$path" || exit 1 ;;
more) printf '%s' "$value" >>"$path" || exit 1 ;;
time) touch -d "$value" "$path" || exit 1 ;;
mode) chmod "$value" "$path" || exit 1 ;;
read)
  if [ -f "$path" ]; then
    echo "there 1"
    m=$(ls -ld "$path")
    echo "mode ${m%% *}"
    echo "lines $(($(wc -l <"$path")))"
    echo "text $(head -n 1 "$path")"
  fi ;;
esac
printf '%s END\n' "$nonce"
