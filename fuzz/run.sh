#!/bin/sh
# Fuzzes every target for so many seconds (20 if none are given), from the committed seeds and what earlier runs found.
# Usage: fuzz/run.sh [SECONDS [TARGET...]]. Needs a nightly toolchain; installs cargo-fuzz when it is missing.
set -eu
cd "$(dirname "$0")"
seconds=${1:-20}
[ $# -eq 0 ] || shift

skip() {
    echo "fuzz: SKIPPED: $1" >&2
    exit 0
}

cargo +nightly --version > /dev/null 2>&1 || skip "no nightly toolchain (rustup toolchain install nightly)"
if ! cargo +nightly fuzz --version > /dev/null 2>&1; then
    echo "fuzz: installing cargo-fuzz" >&2
    cargo install --quiet --locked cargo-fuzz || skip "cargo-fuzz cannot be installed"
fi

[ $# -gt 0 ] || set -- frame json_header binary_header body record batch condition replication
for target in "$@"; do
    mkdir -p "corpus/$target"
    echo "fuzz: $target for $seconds s" >&2
    # A frame may be 16 MiB, but nothing a decoder does depends on more than some KiB.
    cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
done
echo "fuzz: every target ran $seconds s without a finding" >&2
