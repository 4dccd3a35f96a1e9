#!/bin/sh
# Writes a Homebrew formula for a source tarball, with the version of Cargo.toml.
#
#   packaging/homebrew.sh TARBALL [URL]        the formula goes to standard output
#
# URL is where people will get that tarball (default: where it lies now, which is good for trying it:
# `brew install --build-from-source ./ubos-sync.rb`). The formula holds the tarball's sum, so it fits no other.
set -eu

tarball=${1:?the source tarball}
here=$(cd "$(dirname "$0")/.." && pwd)
tarball=$(cd "$(dirname "$tarball")" && pwd)/$(basename "$tarball")
url=${2:-file://$tarball}
case $url in
*[\"\\\#]* | *' '*)
    echo "homebrew: a URL with quotes, spaces or # cannot stand in a formula: $url" >&2
    exit 2
    ;;
esac
value() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$here/Cargo.toml" | head -n 1; }
if command -v sha256sum >/dev/null 2>&1; then
    sum=$(sha256sum <"$tarball" | cut -d' ' -f1)
else
    sum=$(shasum -a 256 <"$tarball" | cut -d' ' -f1)
fi
homepage=$(value homepage)
# Homebrew wants no article, no full stop and not the formula's name in its description.
cat <<FORMULA
class UbosSync < Formula
  desc "$(value description)"
${homepage:+  homepage "$homepage"
}  url "$url"
  version "$(value version)"
  sha256 "$sum"
  license "$(value license)"

  depends_on "rust" => :build
  depends_on "rsync"
  depends_on "unison"

  def install
    system "cargo", "install", *std_cargo_args
    system bin/"ubos-sync", "man", "--out", man1
    generate_completions_from_executable(bin/"ubos-sync", "completions")
    pkgshare.install "profiles", "schema", "launchd"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/ubos-sync --version")
    (testpath/"tree").mkpath
    (testpath/"ubos-sync.toml").write <<~TOML
      schema = 1
      [site]
      root = "#{testpath}/tree"
    TOML
    chmod 0600, testpath/"ubos-sync.toml"
    system bin/"ubos-sync", "check"
  end
end
FORMULA
