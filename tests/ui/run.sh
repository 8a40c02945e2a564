#!/bin/bash
# Drives the extension in a real Blender window under Xvfb, as an artist would. See README.md here.
#   PTALKER_ENGINE_PYTHON=ENV/bin/python [PTALKER_UI_ROOT=DIR] tests/ui/run.sh OUT [drive.py's options]
# With PTALKER_UI_ROOT everything runs inside that root (needs to be root here; no mount is left behind).
set -eu
REPO=$(cd "$(dirname "$0")/../.." && pwd)
: "${PTALKER_ENGINE_PYTHON:?names the Python that runs the engine}"
ZIP=$(realpath "${PTALKER_EXTENSION_ZIP:-$(ls -t "$REPO"/dist/*.zip | head -1)}")
SCRIPT=${PTALKER_UI_SCRIPT:-drive.py} # or headless.py
OUT=$(realpath -m "${1:?the folder for the pictures}"); shift
mkdir -p "$OUT"
if [ -z "${PTALKER_UI_ROOT:-}" ]; then
    exec env PTALKER_ENGINE_PYTHON="$PTALKER_ENGINE_PYTHON" python3 "$REPO/tests/ui/$SCRIPT" --zip "$ZIP" --out "$OUT" "$@"
fi
# The engine's environment and the Python it was made from have to lie at the same places inside the root.
SHOW=$("$PTALKER_ENGINE_PYTHON" -c 'import sys; print(sys.prefix, sys.base_prefix)')
exec unshare -m --pid --fork --kill-child --propagation private bash -c '
R=$1 REPO=$2 OUT=$3 ZIP=$4 SHOW=$5 SCRIPT=$6; shift 6
mount -t proc proc "$R/proc"; mount --rbind /sys "$R/sys"; mount --rbind /dev "$R/dev"
mount -t tmpfs tmpfs "$R/dev/shm"; mount -t tmpfs tmpfs "$R/mnt"
mkdir -p "$R/mnt/repo" "$R/mnt/out"; mount --bind -o ro "$REPO" "$R/mnt/repo"; mount --bind "$OUT" "$R/mnt/out"
cp "$ZIP" "$R/mnt/extension.zip"
for path in $SHOW; do mkdir -p "$R$path"; mount --bind -o ro "$path" "$R$path"; done
exec chroot "$R" env -i HOME=/mnt PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PTALKER_ENGINE_PYTHON="$PTALKER_ENGINE_PYTHON" \
    python3 "/mnt/repo/tests/ui/$SCRIPT" --zip /mnt/extension.zip --out /mnt/out "$@"
' run "$(realpath "$PTALKER_UI_ROOT")" "$REPO" "$OUT" "$ZIP" "$SHOW" "$SCRIPT" "$@"
