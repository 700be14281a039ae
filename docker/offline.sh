#!/usr/bin/env bash
# Prepares a build of docker/Dockerfile where no image registry can be reached:
#   docker/offline.sh CONTEXT
# makes the images that the Dockerfile starts from, under their usual names, out of Debian packages and of the Rust
# toolchain that is installed here; and CONTEXT, a directory with the source and all crates it needs. Images that are
# there stay as they are. Then:
#   QUORATE_BUILD_CONTEXT=CONTEXT docker compose -f docker/compose.yaml up --build --detach
# Needs root on Debian, mmdebstrap (apt install mmdebstrap), a reachable Debian mirror, and crates that are fetched or
# can be.
set -euo pipefail
context=$(realpath -m "${1:?"usage: docker/offline.sh CONTEXT, a directory to make"}")
cd "$(dirname "$0")/.."

mkdir -p "$context"
if [ -n "$(ls -A "$context")" ]; then
    echo "offline: $context is not empty" >&2
    exit 1
fi
base=${BASE_IMAGE:-debian:bookworm-slim}
rust=${RUST_IMAGE:-rust:1.95.0-bookworm}

have() { docker image inspect "$1" >/dev/null 2>&1; }

import() { # archive, image, then changes such as ENV
    local archive=$1 image=$2 changes=()
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    docker import "${changes[@]}" "$archive" "$image" >/dev/null
    echo "offline: made $image"
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
        echo "offline: $rust needs Rust $wanted, installed is $found" >&2
        exit 1
    fi
    sysroot=$(rustc --print sysroot)
    mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev \
        --customize-hook="tar -C '$sysroot' --exclude=share/doc -cf - . | tar -C \"\$1/usr/local\" --no-same-owner -xf -" \
        bookworm "$work/rust.tar"
    import "$work/rust.tar" "$rust" 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
fi

# What is tracked, as it is in the working tree.
git ls-files -z | tar --null --files-from=- --ignore-failed-read -cf - | tar -C "$context" -xf -
mkdir -p "$context/.cargo"
cargo vendor --locked --quiet "$context/vendor" >/dev/null
cat >"$context/.cargo/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "vendor"
TOML
echo "offline: $context is a build context without a registry"
