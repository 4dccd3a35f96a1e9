# Stays, and runs one script after another: a session of its own for each would take longer than most of them. A script comes
# behind a line with its mark and the length of all that follows: the script and what it reads, both escaped for printf %b,
# between them a separator that neither has. Each runs in a subshell of its own.
export LC_ALL=C
IFS= read -r nonce || exit 97
printf '\n%s BEGIN\n%s END\n' "$nonce" "$nonce"
exec 3>&1
separator=$(printf '\037')
while read -r mark length; do
  data=
  while [ ${#data} -lt "$length" ]; do piece=$(dd bs=$((length - ${#data})) count=1 2>/dev/null) && [ -n "$piece" ] || exit 97; data=$data$piece; done
  set -f
  IFS=$separator
  set -- $data
  set +f
  unset IFS
  script=$1 data=${2-}
  set --
  said=$(printf %b "$data" | (eval "$(printf %b "$script")") 2>&1 >&3 3>&-)
  printf '\n%s COMPLAINT\n%s\n%s OVER\n' "$mark" "$said" "$mark"
done
