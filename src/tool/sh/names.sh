# How a script begins that is about named paths below a root: few come as parameters, escaped where they have to be, and are its own
# positional ones then; many come NUL-separated on standard input, which the programs that read them cost.
export LC_ALL=C
for v in nonce root few; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
set --
while [ $# -lt "$few" ]; do
  IFS= read -r x || exit 97
  case $x in *\\*) x=$(printf '%b.' "$x") x=${x%.} ;; esac
  set -- "$@" "$x"
done
