# Before a script that asks for digests: `sha`, of standard input, first in its line, by whatever this host has.
sha() { if command -v sha256sum >/dev/null 2>&1; then sha256sum; elif command -v shasum >/dev/null 2>&1; then shasum -a 256; else openssl dgst -sha256 -r; fi; }
