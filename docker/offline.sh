#!/usr/bin/env bash
# Prepares a build of docker/Dockerfile on a host that cannot reach an image registry:
#   docker/offline.sh CONTEXT
# It creates the images that the Dockerfile starts from, under their usual names, from Debian
# packages and the Rust toolchain of this host. Existing images stay unchanged. It also creates
# CONTEXT, a directory with the source and all crates that it needs. Then build with:
#   QUORATE_BUILD_CONTEXT=CONTEXT docker compose -f docker/compose.yaml up --build --detach
# It needs root on Debian, mmdebstrap (apt install mmdebstrap) and a reachable Debian mirror. The
# crates must be in cargo's cache, or it must be possible to download them.
set -euo pipefail
context=$(realpath -m "${1:?"usage: docker/offline.sh CONTEXT, a directory to create"}")
cd "$(dirname "$0")/.."

mkdir -p "$context"
if [ -n "$(ls -A "$context")" ]; then
    echo "offline: $context is not empty; name a new or an empty directory" >&2
    exit 1
fi
base=${BASE_IMAGE:-debian:bookworm-slim}
rust=${RUST_IMAGE:-rust:1.95.0-bookworm}

have() { docker image inspect "$1" >/dev/null 2>&1; }

import() { # arguments: archive, image, then changes such as ENV
    local archive=$1 image=$2 changes=()
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    docker import "${changes[@]}" "$archive" "$image" >/dev/null
    echo "offline: created $image"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! have "$base"; then
    mmdebstrap --quiet --variant=minbase bookworm "$work/base.tar"
    import "$work/base.tar" "$base" 'CMD ["bash"]'
fi

if ! have "$rust"; then
    wanted=${rust#*:} wanted=${wanted%%-*}
    found=$(rustc --version | cut -d' ' -f2)
    if [ "$wanted" != "$found" ]; then
        echo "offline: $rust needs Rust $wanted, but Rust $found is installed" >&2
        exit 1
    fi
    sysroot=$(rustc --print sysroot)
    mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev \
        --customize-hook="tar -C '$sysroot' --exclude=share/doc -cf - . | tar -C \"\$1/usr/local\" --no-same-owner -xf -" \
        bookworm "$work/rust.tar"
    import "$work/rust.tar" "$rust" 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
fi

# Copy the tracked files as they are in the working tree, with changes that are not committed.
git ls-files -z | tar --null --files-from=- --ignore-failed-read -cf - | tar -C "$context" -xf -
mkdir -p "$context/.cargo"
cargo vendor --locked --quiet "$context/vendor" >/dev/null
cat >"$context/.cargo/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "vendor"
TOML
echo "offline: created $context, a build context that needs no registry"
