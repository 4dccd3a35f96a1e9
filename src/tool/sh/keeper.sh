# Keeps the shared connection open until its standard input ends.
IFS= read -r nonce || exit 97
printf '\n%s BEGIN\n%s END\n' "$nonce" "$nonce"
while IFS= read -r _; do :; done
