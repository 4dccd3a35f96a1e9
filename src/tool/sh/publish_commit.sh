# Puts what was staged in place, late and together: each file by one rename, what stood there kept in the trash of this run.
# The order comes as lines: `/DIR` goes there, `+` places, `-` removes, `x` and `n` set and clear the executable bit, `=` and `~`
# carry a file or a link over from the live release, `k` keeps one of it that is not carried over, by its whole path, `r` drops a
# directory that has become empty. A line that begins with a backslash comes as `printf %b` reads it.
for v in rev few; do IFS= read -r "$v" || die "the order was cut"; done
trash=$root/$own/trash/$run
from=
work=$root
if [ "$layout" = releases ]; then
  live
  [ -z "$release" ] || from=$root/releases/$release
  umask 022
  [ -d releases ] || mkdir releases || die "releases cannot be made"
  mkdir "$part" || die "a new release cannot be made"
  work=$root/$part
fi
cd "$work" || die "the directory is gone"
work=$(pwd -P)
dir=
# Moves what stands in the way into a new folder of the trash, where nothing bears its name: a link of that name would lead `mv`
# elsewhere, and a longer name may be none that the file system takes.
put_aside() { # NAME
  aside=1
  while [ -e "$trash/.ubos-sync.in-the-way.$aside" ]; do aside=$((aside + 1)); done
  aside=$trash/.ubos-sync.in-the-way.$aside${dir:+/$dir}
  mkdir -p "$aside" 2>/dev/null || die "no room for what stands in the way in $dir"
  : >"$trash/.ubos-sync.edited"
  mv -f "./$1" "$aside/" || die "what stands in the way cannot be put aside: $dir/$1"
}
keep_dir() {
  mkdir -p "$trash/$dir" 2>/dev/null || die "no room for what is replaced in $dir"
  # A link that was kept before may bear the name of a directory that comes after it.
  [ "$(cd -P "$trash/$dir" && pwd -P)" = "$trash${dir:+/$dir}" ] || die "what is replaced in $dir cannot be kept beside a link of that name"
}
# Goes to a directory of the tree one step at a time, so that no link is ever followed; a link or file in the way is put aside.
enter() {
  cd "$work" || die "the directory is gone"
  dir= rest=$1
  while [ -n "$rest" ]; do
    step=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    if [ -L "./$step" ] || { [ -e "./$step" ] && [ ! -d "./$step" ]; }; then
      # Where something is only to be taken away, what stands there instead is not it.
      [ -z "$leaving" ] || return 1
      put_aside "$step"
    fi
    if [ ! -d "./$step" ]; then
      [ -z "$leaving" ] || return 1
      (umask 022 && mkdir "./$step") || die "a directory cannot be made: $1"
      settle .
    fi
    cd -P "./$step" || die "a directory cannot be entered: $1"
    dir=${dir:+$dir/}$step
    # A link may have come between the look and the step.
    [ "$PWD" = "${work%/}/$dir" ] || die "a directory was moved away meanwhile: $1"
  done
}
# A few changes go to the disk one by one, each before the sentinel can vouch for it: a whole file system may have much else to write.
settle() {
  [ "$few" = 1 ] || return 0
  # A link has nothing of its own to write, and it would be followed.
  for n; do shift; [ -L "$n" ] || set -- "$@" "$n"; done
  [ $# -gt 0 ] || return 0
  why=$(sync "$@" 2>&1) || case $why in
  *"nvalid argument"* | *"not supported"* | *"not implemented"*) sync ;;
  *) die "what was published cannot be written to the disk: $why" ;;
  esac
}
# What stands under these names goes to the trash: files by a second name, so that they stay in place until they are replaced.
keep() {
  for n; do
    shift
    if [ -L "./$n" ]; then
      keep_dir
      cp -R -P -p "./$n" "$trash/$dir/" || die "a link cannot be kept: $dir/$n"
    elif [ -f "./$n" ]; then set -- "$@" "./$n"
    elif [ -e "./$n" ]; then
      # What was published in a directory has gone already; empty shells of it are nothing.
      [ ! -d "./$n" ] || find "./$n" -depth -type d -exec rmdir {} \; 2>/dev/null
      [ -e "./$n" ] || continue
      put_aside "$n"
    fi
  done
  [ $# -gt 0 ] || return 0
  keep_dir
  ln "$@" "$trash/$dir/" 2>/dev/null || cp -p "$@" "$trash/$dir/" || die "no room for what is replaced in $dir"
  settle "$trash/$dir"
}
flush() {
  [ $# -gt 0 ] || return 0
  case $op in
  +)
    keep "$@"
    for n; do shift; set -- "$@" "$stage/$dir/$n"; done
    settle "$@"
    mv -f "$@" . || die "files cannot be put in place in ${dir:-the top directory}"
    ;;
  -)
    for n; do
      shift
      if [ -L "./$n" ] || [ -f "./$n" ]; then set -- "$@" "./$n"; fi
    done
    [ $# -gt 0 ] || return 0
    keep_dir
    mv -f "$@" "$trash/$dir/" || die "files cannot be removed in ${dir:-the top directory}"
    settle "$trash/$dir"
    ;;
  x | n)
    for n; do shift; [ -f "./$n" ] && [ ! -L "./$n" ] && set -- "$@" "./$n"; done
    [ $# -gt 0 ] || return 0
    if [ "$layout" = releases ]; then
      # The live release has this file too, by another name: it keeps its mode.
      for n; do { cp -p "$n" "$stage.mode" && mv -f "$stage.mode" "$n"; } || die "no room for a mode that changes in $dir"; done
    fi
    if [ "$op" = x ]; then chmod 755 "$@"; else chmod 644 "$@"; fi || die "modes cannot be set in ${dir:-the top directory}"
    settle "$@"
    ;;
  =)
    for n; do shift; set -- "$@" "$from/$dir/$n"; done
    ln "$@" . 2>/dev/null || cp -p "$@" . || die "files cannot be carried over in ${dir:-the top directory}"
    ;;
  '~')
    for n; do shift; set -- "$@" "$from/$dir/$n"; done
    cp -R -P -p "$@" . || die "links cannot be carried over in ${dir:-the top directory}"
    ;;
  k)
    for n; do
      { [ -e "$from/$n" ] || [ -L "$from/$n" ]; } || continue
      case $n in */*) dir=${n%/*} ;; *) dir= ;; esac
      keep_dir
      : >"$trash/.ubos-sync.edited"
      { [ ! -L "$from/$n" ] && ln "$from/$n" "$trash/$dir/" 2>/dev/null; } || cp -R -P -p "$from/$n" "$trash/$dir/" || die "no room for what is replaced in $dir"
    done
    dir=
    ;;
  r) for n; do rmdir "./$n" 2>/dev/null; done ;;
  esac
  settle .
}
op= leaving=
away=
set --
while IFS= read -r line; do
  case $line in \\*) line=$(printf '%b.' "${line#?}") && line=${line%.} ;; esac
  name=${line#?}
  o=${line%"$name"}
  if [ "$o" != "$op" ] || [ $# -ge 400 ]; then
    flush "$@"
    set --
    op=$o
  fi
  if [ "$o" = / ]; then
    # Where nothing is to be placed, a directory that is gone is no loss.
    away=
    enter "$name" || away=1
  elif [ "$o" = L ]; then leaving=${name#0}
  elif [ -z "$away" ]; then set -- "$@" "$name"; fi
done
flush "$@"
cd "$root" || die "the directory is gone"
rm -rf "$stage"
[ "$layout" != releases ] || put_rev "INCOMPLETE $rev" "$part" || die "the sentinel cannot be written"
say committed 1
# After a few changes only what they touched is looked at again.
[ "$few" = 1 ] || { cd "$work" && sweep; }
end
