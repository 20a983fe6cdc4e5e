#!/usr/bin/env bash
# Resizes videos to a chosen short side; aspect, displayed orientation, timing and audio stay.
set -euo pipefail

readonly PROGRAM=${0##*/}
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly HERE

usage() {
    cat <<END
Usage: ./$PROGRAM [OPTION]... [--] VIDEO...

Resizes each VIDEO so that the shorter side of the picture, as displayed, has N pixels, and writes it as an MP4 beside
the input: clip.mov becomes clip.720p.mp4. Aspect, orientation, frame timing and audio stay as they are.

  --short-side N   the shorter side in pixels, an even number (default: 720)
  --output DIR     write into DIR instead (made if it is not there)
  --enlarge        enlarge what is smaller, too
  -y, --overwrite  replace outputs that are there already
  --help           show this

A video that is small enough already is not encoded again: its streams are copied into the output, so that there is one
for every input. Audio is copied where MP4 can hold it and becomes AAC where not. Encoding (H.264, CRF 18) loses a
little of what the detector looks at: use it where a video is too large, not as a matter of course.

ffmpeg is taken from \$UNMASK_FFMPEG, else from PATH, else from the Python package imageio-ffmpeg.
Put -- before names that begin with a dash. A video that fails does not stop the others.

Exit status: 0 all done, 1 something failed, 2 wrong usage, 130 or 143 interrupted.
END
}

say() { printf '%s\n' "$*"; }
complain() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
die() {
    complain "$1"
    exit "${2:-1}"
}

# Names are shown so that one with a newline or an escape sequence in it stays one harmless line.
shown() { if [[ $1 == *[[:cntrl:]]* ]]; then printf '%q' "$1"; else printf '%s' "$1"; fi; }

# ------------------------------------------------------------------------------------------------------- interruption

# The output under its temporary name, a folder for ffmpeg's messages, and the ffmpeg that runs.
partial='' scratch='' child=''

# shellcheck disable=SC2329  # the traps below call these two
clean_up() {
    [[ -z $partial ]] || rm -f -- "$partial"
    [[ -z $scratch ]] || rm -rf -- "$scratch"
}

# shellcheck disable=SC2329
interrupted() { # EXIT STATUS
    # ffmpeg must be gone before its file is removed: it writes an index when it is told to stop.
    if [[ -n $child ]]; then
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    exit "$1"
}

trap clean_up EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

# ------------------------------------------------------------------------------------------------------------- ffmpeg

find_ffmpeg() {
    local python found
    if [[ -n ${UNMASK_FFMPEG-} ]]; then
        command -v -- "$UNMASK_FFMPEG" ||
            die "UNMASK_FFMPEG=$(shown "$UNMASK_FFMPEG"): no such program; correct it, or unset it."
        return
    fi
    if command -v ffmpeg; then return; fi
    for python in "$HERE/.venv/bin/python" python3; do
        command -v -- "$python" >/dev/null || continue
        if found=$("$python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())' 2>/dev/null); then
            say "$found"
            return
        fi
    done
    die "no ffmpeg found; install it, or give its path as UNMASK_FFMPEG."
}

# Runs ffmpeg in the background, so that a signal is acted upon at once and not when ffmpeg is through.
run_ffmpeg() {
    local status=0
    "$ffmpeg" -nostdin -hide_banner -v error "$@" 2>"$scratch/log" &
    child=$!
    wait "$child" || status=$?
    child=''
    return "$status"
}

# The first thing ffmpeg complained of, without the "[demuxer @ address]" before it: what follows is mere consequence.
ffmpeg_said() {
    local line=''
    IFS= read -r line <"$scratch/log" || true
    while [[ $line == \[*\]\ * ]]; do line=${line#*\] }; done
    [[ $line == *'matches no streams'* ]] && line='it has no picture'
    printf '%s' "$(shown "${line:-no reason given}")"
}

# ------------------------------------------------------------------------------------------------------------ a video

# The size the picture is displayed at. One frame is decoded for it, because only then are rotation and pixel aspect
# known to be what ffmpeg makes of them; the header of framecrc is the form of them that is meant for programs.
display_size() { # VIDEO -> sets width, height
    local line numerator=1 denominator=1
    width=0 height=0
    run_ffmpeg -i "file:$1" -map 0:V:0 -frames:v 1 -c:v rawvideo -f framecrc -y "file:$scratch/size" || return 1
    while IFS= read -r line; do
        if [[ $line =~ ^#dimensions\ 0:\ ([0-9]+)x([0-9]+)$ ]]; then
            width=${BASH_REMATCH[1]} height=${BASH_REMATCH[2]}
        elif [[ $line =~ ^#sar\ 0:\ ([1-9][0-9]*)/([1-9][0-9]*)$ ]]; then
            numerator=${BASH_REMATCH[1]} denominator=${BASH_REMATCH[2]}
        fi
    done <"$scratch/size"
    ((width > 0 && height > 0)) || return 1
    width=$(((2 * width * numerator + denominator) / (2 * denominator)))
    ((width > 0)) || width=1
}

# Half of yuv420p's picture is stored at half size, so both sides must be even.
even() { if (($1 < 2)); then echo 2; else echo $(($1 / 2 * 2)); fi; }
scaled() { even $((($1 * short_side + $2) / $2)); } # LONG SHORT: what becomes of LONG, to the nearest even number

write_video() { # VIDEO WIDTH HEIGHT COPY
    local video=$1 audio streams
    local -a common=(-y -i "file:$video" -map 0:V:0 -map '0:a?' -movflags +faststart)
    # Pixels become square: OpenCV does not look at the pixel aspect, and would hand the detector squeezed faces.
    # ffmpeg turns the picture upright by itself before these filters. Passthrough alone would still round every time
    # to the nominal frame rate, which a video of variable rate does not keep; hence the finer time base.
    local -a encode=(
        -vf "scale=$2:$3:flags=lanczos,setsar=1" -pix_fmt yuv420p -c:v libx264 -preset medium -crf 18
        "${frame_times[@]}" -enc_time_base 1:90000
    )
    for streams in ${4:+copy} encode; do
        local -a picture=(-c:v copy)
        [[ $streams == copy ]] || picture=("${encode[@]}")
        # Only the muxer knows what it can hold; it says so before anything is encoded.
        for audio in copy aac; do
            if run_ffmpeg "${common[@]}" "${picture[@]}" -c:a "$audio" -f mp4 "file:$partial"; then return 0; fi
        done
    done
    return 1
}

resize() { # VIDEO
    local video=$1 name folder target width height long short new_width new_height copy='' verb='resized to'
    local label
    label=$(shown "$video")
    if [[ -d $video ]]; then
        complain "$label: is a folder; name the videos in it."
        return 1
    fi
    if [[ ! -r $video ]]; then
        complain "$label: no such file, or not readable; check its name and rights."
        return 1
    fi
    # Parameter expansions, not dirname and basename: those would lose a newline at the name's end.
    name=${video##*/}
    folder=''
    [[ $video == */* ]] && folder=${video%/*}/
    [[ -n $output ]] && folder=${output%/}/
    if [[ $name == ?*.* ]]; then name=${name%.*}; fi
    target=$folder$name.${short_side}p.mp4

    if [[ -n ${made[$target]-} ]]; then
        complain "$label: $(shown "$target") was just made from another video of that name; use another --output."
        return 1
    fi
    if [[ -d $target || -e $target && $overwrite == no ]]; then
        complain "$label: $(shown "$target") is there already; remove it, or give --overwrite."
        return 1
    fi
    if ! display_size "$video"; then
        complain "$label: not a video ffmpeg can read ($(ffmpeg_said)); check that it is whole, or export it again."
        return 1
    fi

    if ((width < height)); then short=$width long=$height; else short=$height long=$width; fi
    if ((short == short_side)) || ((short < short_side)) && [[ $enlarge == no ]]; then
        # Encoded only if MP4 cannot hold the stream as it is, and then at its own size.
        copy=yes verb='small enough, copied to'
        new_width=$(even "$width") new_height=$(even "$height")
    elif ((width < height)); then
        new_width=$short_side new_height=$(scaled "$long" "$short")
    else
        new_width=$(scaled "$long" "$short") new_height=$short_side
    fi

    partial=$target.$$.partial
    if ! write_video "$video" "$new_width" "$new_height" "$copy"; then
        rm -f -- "$partial"
        partial=''
        complain "$label: could not be written as $(shown "$target") ($(ffmpeg_said)); check the disk and the" \
            "folder's rights, and that $ffmpeg has the encoder libx264."
        return 1
    fi
    # ffmpeg goes on over damage and still reports success.
    if [[ -s $scratch/log ]]; then
        complain "$label: ffmpeg met damage in it ($(ffmpeg_said)); check that the output is whole."
    fi
    mv -fT -- "$partial" "$target"
    partial=''
    made[$target]=yes
    if [[ -z $copy ]]; then verb+=" ${new_width}x$new_height,"; fi
    say "$label: $verb $(shown "$target")"
}

# ------------------------------------------------------------------------------------------------------- command line

short_side=720 output='' enlarge=no overwrite=no videos=()

while (($#)); do
    case $1 in
        --short-side | --output)
            [[ -n ${2-} ]] || die "$1 needs a value; see ./$PROGRAM --help." 2
            if [[ $1 == --output ]]; then output=$2; else short_side=$2; fi
            shift
            ;;
        --short-side=?*) short_side=${1#*=} ;;
        --output=?*) output=${1#*=} ;;
        --enlarge) enlarge=yes ;;
        -y | --overwrite) overwrite=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        --)
            shift
            videos+=("$@")
            break
            ;;
        -*) die "$(shown "$1"): no such option; see ./$PROGRAM --help, and put -- before a name like this." 2 ;;
        *) videos+=("$1") ;;
    esac
    shift
done

# At most five digits, and none of them a leading zero: bash would read it as octal, or overflow.
[[ $short_side =~ ^[1-9][0-9]{0,4}$ && $short_side == *[02468] ]] ||
    die "--short-side $(shown "$short_side"): not an even number of pixels from 2 to 99998; give 720, for one." 2
[[ ${#videos[@]} -gt 0 ]] || die "no video given; see ./$PROGRAM --help." 2
if [[ -n $output ]]; then
    # A leading dash must read as a path to every tool that gets it.
    [[ $output == /* ]] || output=./$output
    mkdir -p -- "$output" 2>/dev/null || die "--output $(shown "$output"): this folder cannot be made; give another."
fi

ffmpeg=$(find_ffmpeg)
scratch=$(mktemp -d)
# ffmpeg before 5.1 knows the option by another name, and later ones no longer know that.
frame_times=(-vsync passthrough)
[[ $("$ffmpeg" -hide_banner -h long 2>/dev/null) == *-fps_mode* ]] && frame_times=(-fps_mode passthrough)

declare -A made=()
failed=0
for video in "${videos[@]}"; do
    resize "$video" || failed=1
done
exit "$failed"
