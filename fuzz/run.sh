#!/bin/sh
# Fuzzes every target for so many seconds (20 if none are given), from the committed seeds and what earlier runs found.
# Usage: fuzz/run.sh [SECONDS [TARGET...]]. Needs a nightly toolchain; installs cargo-fuzz when it is missing.
#
# Each target prints the number that its inputs are drawn from. FUZZ_SEED=N sets it, and then the committed seeds are all
# that it begins with: the same inputs come in the same order, so that what .ci/run finds is found again by the same
# command. Without it each run draws others; those are the runs that find something new.
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
    if [ -n "${FUZZ_SEED:-}" ]; then
        seed=$FUZZ_SEED
        corpus=$(mktemp -d)
    else
        seed=$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')
        corpus=corpus/$target
    fi
    mkdir -p "$corpus"
    echo "fuzz: $target for $seconds s, FUZZ_SEED=$seed" >&2
    # A frame may be 16 MiB, but nothing a decoder does depends on more than some KiB.
    cargo +nightly fuzz run "$target" "$corpus" "seeds/$target" -- -seed="$seed" \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
    [ -z "${FUZZ_SEED:-}" ] || rm -rf "$corpus"
done
echo "fuzz: every target ran $seconds s without a finding" >&2
