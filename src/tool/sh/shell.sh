# Stays, and runs one script after another: a session of its own for each would take longer than most of them. A script comes as
# one line, what it reads as another, both escaped for printf %b; each runs in a subshell of its own.
export LC_ALL=C
IFS= read -r nonce || exit 97
printf '\n%s BEGIN\n%s END\n' "$nonce" "$nonce"
exec 3>&1
while IFS= read -r mark && IFS= read -r script && IFS= read -r data; do
  said=$(printf %b "$data" | (eval "$(printf %b "$script")") 2>&1 >&3 3>&-)
  printf '\n%s COMPLAINT\n%s\n%s OVER\n' "$mark" "$said" "$mark"
done
