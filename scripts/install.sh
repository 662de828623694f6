#!/usr/bin/env bash
# Make .venv, with the project and the tested version of everything it needs; does nothing if that is done already.
#
#     bash scripts/install.sh [EXTRA...]        such as: bash scripts/install.sh diffusion
#
# PYTHON may name the Python to use (3.10 or 3.11).
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

stamp=.venv/installed # Holds the extras, and a checksum of all that decides what is installed.
gigabytes_needed=12

fail() {
    echo "install: $*" >&2
    exit 1
}

fingerprint() {
    cat pyproject.toml constraints.txt scripts/install.sh - <<<"$extras" | cksum
}

# The first Python that will do. What the others lack is told if there is none.
find_python() {
    local name path lack lacks=
    for name in ${PYTHON:-python3.11 python3.10 python3 python}; do
        while read -r path; do
            lack=$("$path" -c '
import os, sys, sysconfig
if not (3, 10) <= sys.version_info[:2] <= (3, 11):
    sys.exit(1)
name = "python%d.%d" % sys.version_info[:2]
try:
    import ensurepip, venv
except ImportError:
    print("its venv module (on Debian and Ubuntu: %s-venv)" % name)
else:
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        print("its C header files (on Debian and Ubuntu: %s-dev)" % name)
' 2>/dev/null) || continue # A launcher may be there for a version that is not.
            if [ -z "$lack" ]; then
                echo "$path"
                return
            fi
            lacks=${lacks:-"$path lacks $lack: install it."}
        done < <(type -aP "$name")
    done
    [ -z "${PYTHON:-}" ] || fail "${lacks:-"$PYTHON is no Python 3.10 or 3.11, which is what PYTHON must name."}"
    fail "${lacks:-"Python 3.10 or 3.11 was not found: install one, or name it with PYTHON=/path/to/python3.11."}"
}

is_any_there() {
    [ -n "$(type -P "$@" || true)" ]
}

check_system() {
    local gigabytes_free
    is_any_there cc gcc clang && is_any_there c++ g++ clang++ ||
        fail "No C and C++ compiler was found, which two packages need: install one (on Debian and Ubuntu: build-essential)."
    gigabytes_free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$gigabytes_free" -ge "$gigabytes_needed" ] ||
        fail "Only $gigabytes_free GB of disk are free here, and $gigabytes_needed GB are needed: make room."
}

step() {
    echo "install: $1 (usually $2)"
}

# On a terminal pip shows its own progress; in a log it would be hundreds of lines.
install() {
    local quiet=--quiet
    [ ! -t 1 ] || quiet=
    # shellcheck disable=SC2086
    .venv/bin/python -m pip install $quiet --disable-pip-version-check --use-pep517 -c constraints.txt "$@" ||
        fail "pip stopped, see above: is a package index reachable? What is downloaded is kept, so start again."
}

# nerfstudio looks for a command of this name.
provide_ffmpeg() {
    type -P ffmpeg >/dev/null || [ -x .venv/bin/ffmpeg ] ||
        ln -sf "$(.venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" .venv/bin/ffmpeg
}

extras=$({ [ ! -f "$stamp" ] || head -n 1 "$stamp"; printf '%s\n' dev "$@"; } | tr , '\n' | sort -u | paste -sd , -)
if [ -f "$stamp" ] && [ "$(tail -n 1 "$stamp")" = "$(fingerprint)" ] && grep -qF "$PWD/.venv" .venv/bin/activate; then
    provide_ffmpeg
    exit
fi

check_system
rm -f "$stamp"
SECONDS=0
if ! .venv/bin/python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null ||
    ! grep -qsF "$PWD/.venv" .venv/bin/activate; then
    python=$(find_python)
    step "making .venv with $("$python" --version 2>&1) from $python" "10 s"
    "$python" -m venv --clear .venv || fail "$python could not make .venv, see above."
fi
step "installing torch and torchvision: 3 GB to download" "2 to 5 minutes"
install torch torchvision
step "installing nerfstudio, the project [$extras] and the rest" "3 to 6 minutes"
install -e ".[$extras]"
# All OpenCV packages share one folder, and the last one in wins. It must have the extra modules, and where the graphics
# libraries of a desktop are missing it must do without them.
.venv/bin/python -c 'import cv2; cv2.ximgproc.guidedFilter' 2>/dev/null ||
    install --force-reinstall --no-deps opencv-contrib-python-headless
provide_ffmpeg
step "seeing whether it loads" "10 s"
.venv/bin/python -c 'import av, cv2, mediapipe, torch' ||
    fail "what was installed does not load, see above: a library of the operating system may be missing."
printf '%s\n' "$extras" "$(fingerprint)" >"$stamp"
echo "install: done in $((SECONDS / 60)) min $((SECONDS % 60)) s. To use it: source .venv/bin/activate"
