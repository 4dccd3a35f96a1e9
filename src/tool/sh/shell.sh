# Stays, and runs one script after another: a session of its own for each would take longer than most of them. A script comes
# behind a line with its mark, the length of all that follows, and how it is written: the script and what it reads, between them a
# separator that neither has. Line breaks are another one, since a shell takes them away from the end of what it was given. What
# is read is `plain`, so many lines and no more, or escaped for printf %b. Each process that the shell starts for a script is waited
# for by both hosts, some twenty times in a run: it is told apart, joined and handed over without one. Each script runs in a
# subshell of its own.
export LC_ALL=C
for v in nonce separator line; do IFS= read -r "$v" || exit 97; done
printf '\n%s BEGIN\n%s END\n' "$nonce" "$nonce"
exec 3>&1
nl='
'
# Some shells keep a here-document in a file, for which there may be no room.
direct=1
[ -z "${BASH_VERSION-}${ZSH_VERSION-}${KSH_VERSION-}" ] || direct=
while read -r mark length how; do
  data=
  while [ ${#data} -lt "$length" ]; do piece=$(dd bs=$((length - ${#data})) count=1 2>/dev/null) && [ -n "$piece" ] || exit 97; data=$data$piece; done
  set -f
  IFS=$separator
  set -- $data
  data=${2-}
  IFS=$line
  set -- $1
  IFS=$nl
  script="$*"
  form=%b
  if [ "$how" = plain ]; then
    form='%s\n'
    # The last line break is the one that follows it here.
    IFS=$line
    set -- $data
    IFS=$nl
    data="$*"
    data=${data%??}
  fi
  set +f
  unset IFS piece
  set --
  if [ "$how" = plain ] && [ -n "$direct" ]; then
    said=$({ eval "$script"; } 2>&1 >&3 3>&- <<DATA
$data
DATA
)
  else
    said=$(printf "$form" "$data" | (eval "$script") 2>&1 >&3 3>&-)
  fi
  printf '\n%s COMPLAINT\n%s\n%s OVER\n' "$mark" "$said" "$mark"
done
