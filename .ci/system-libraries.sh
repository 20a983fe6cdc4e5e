#!/usr/bin/env bash
# Makes sure that the shared libraries that the wheels of OpenCV, MediaPipe and Qt link against are there: installs them
# through apt where that is possible (root on Debian or Ubuntu), else says in one line what to install.
set -euo pipefail

# library that must be loadable -> Debian package that has it
needs=(
    libEGL.so.1:libegl1 libGLESv2.so.2:libgles2 libGL.so.1:libgl1 libglib-2.0.so.0:libglib2.0-0
    libfontconfig.so.1:libfontconfig1 libdbus-1.so.3:libdbus-1-3 libxkbcommon-x11.so.0:libxkbcommon-x11-0
    libxcb-cursor.so.0:libxcb-cursor0 libxcb-icccm.so.4:libxcb-icccm4 libxcb-image.so.0:libxcb-image0
    libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-randr.so.0:libxcb-randr0
    libxcb-render-util.so.0:libxcb-render-util0 libxcb-shape.so.0:libxcb-shape0
    libxcb-xinerama.so.0:libxcb-xinerama0 libxcb-xkb.so.1:libxcb-xkb1
)

[ "$(uname -s)" = Linux ] || exit 0
# /sbin is not on every user's PATH.
known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
packages=()
for need in "${needs[@]}"; do
    case "$known" in
        *"${need%%:*}"*) ;;
        *) packages+=("${need##*:}") ;;
    esac
done
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
able=no
[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && able=yes
# fetch_weights.sh and its tests need curl; nothing else does, so nobody is held up for it.
[ "$able" = yes ] && ! command -v curl >/dev/null && packages+=(curl)
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$able" = yes ]; then
    echo "installing system libraries: ${packages[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
else
    echo "system libraries are missing; install them first: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi
