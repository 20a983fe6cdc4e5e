#!/usr/bin/env bash
# Fetches the weight files that the repository does not carry, and checks each before it gets its name.
set -euo pipefail

readonly PROGRAM=${0##*/}
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly TABLE=${UNMASK_WEIGHTS_TABLE:-$HERE/weights/SOURCES.tsv}

usage() {
    cat <<END
Usage: ./$PROGRAM [OPTION]... [NAME]...

Fetches the weights training starts from: all of them, or only those named. What is there and right is left alone,
what is there and wrong is fetched again, and a download that broke off goes on where it stopped.

  --mirror WHERE  take the files from WHERE instead of their official addresses: a folder, or a file://, http:// or
                  https:// address, that holds them under their own names
  --dest DIR      put them into DIR (default: weights/ beside this script)
  --list          show each file's size, hash and state, and fetch nothing
  --help          show this

Where a name has several files, any one of them is enough. A file's hash is checked before the file gets its name;
until then it is called FILE.partial. --list says whether the check is sha256 or md5: it is md5 where that is all the
publisher gives. UNMASK_WEIGHTS_TABLE names another table of files than weights/SOURCES.tsv.

Exit status: 0 all there and right, 1 something is not, 2 wrong usage.
END
}

say() { printf '%s\n' "$*"; }
complain() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
die() {
    complain "$1"
    exit "${2:-1}"
}

# ---------------------------------------------------------------------------------------------------------- the table

names=() files=() sizes=() checks=() hashes=() addresses=()

read_table() {
    [[ -r $TABLE ]] || die "$TABLE: cannot read this table of weight files; restore it from the repository."
    local name file size check hash address number=0 plain='^[A-Za-z0-9][A-Za-z0-9._-]*$'
    while IFS=$'\t' read -r name file size check hash address || [[ -n $name ]]; do
        number=$((number + 1))
        [[ -z $name || $name == \#* ]] && continue
        # Names end up in paths and addresses, so they may be nothing but plain.
        if ! [[ $name =~ $plain && $file =~ $plain && $size =~ ^[0-9]+$ && -n $address ]] ||
            ! [[ $check == md5 && $hash =~ ^[0-9a-f]{32}$ || $check == sha256 && $hash =~ ^[0-9a-f]{64}$ ]]; then
            die "$TABLE: line $number is not name, file, bytes, md5 or sha256, hash, address; correct it."
        fi
        names+=("$name") files+=("$file") sizes+=("$size") checks+=("$check") hashes+=("$hash") addresses+=("$address")
    done <"$TABLE"
    [[ ${#names[@]} -gt 0 ]] || die "$TABLE: names no files; restore it from the repository."
}

is_right() { # ROW PATH
    local sum
    # Read from standard input: md5sum and sha256sum escape odd file names in what they print.
    sum=$("${checks[$1]}sum" <"$2") || return 1
    [[ ${sum%% *} == "${hashes[$1]}" ]]
}

bytes_in() { if [[ -f $1 ]]; then wc -c <"$1"; else echo 0; fi; }

list() {
    local row path state
    printf '%-12s %-56s %10s  %-9s %-6s %s\n' NAME FILE BYTES STATE CHECK 'HASH AND SOURCE'
    for row in "${!names[@]}"; do
        path=$dest/${files[row]}
        if [[ -f $path ]]; then
            if is_right "$row" "$path"; then state=present; else state=wrong; fi
        elif [[ -s $path.partial ]]; then
            state=partial
        else
            state=missing
        fi
        printf '%-12s %-56s %10s  %-9s %-6s %s\n' "${names[row]}" "${files[row]}" "${sizes[row]}" "$state" \
            "${checks[row]}" "${hashes[row]}"
        if [[ ${addresses[row]} == - ]]; then say "    only from a mirror"; else say "    ${addresses[row]}"; fi
    done
}

# ----------------------------------------------------------------------------------------------------------- fetching

# How a fetch ended, beside 0 for a file that is there and right.
readonly NOT_THERE=10 UNREACHABLE=11 WRONG=12

why() { # CURL'S EXIT STATUS, HTTP STATUS
    case $1 in
        6) say "no such host, or no network" ;;
        7) say "connection refused, or no network" ;;
        22) say "the server answered HTTP $2" ;;
        18 | 28 | 52 | 55 | 56 | 92) say "the connection broke off" ;;
        23) say "the disk could not be written" ;;
        35 | 51 | 58 | 60 | 77) say "no trusted TLS connection" ;;
        *) say "curl's error $1" ;;
    esac
}

download() { # ROW ADDRESS PARTIAL
    local row=$1 address=$2 partial=$3 attempt http status=0 progress=--silent remedy
    command -v curl >/dev/null || die "curl is not installed; install it, or give a folder with --mirror."
    [[ -t 2 ]] && progress=--progress-bar
    for attempt in 1 2 3 4 5; do
        status=0
        http=$(curl --fail --location --globoff --proto '=http,https' --proto-redir '=http,https' "$progress" \
            --connect-timeout 20 --speed-limit 1000 --speed-time 60 --write-out '%{http_code}' \
            --continue-at - --output "$partial" --url "$address") || status=$?
        case $status in
            0) return 0 ;;
            # The server has no ranges, or (HTTP 416) nothing past what we have: from the start, then.
            33 | 36) rm -f -- "$partial" ;;
            22)
                # Newer curls report success here, and leave the finding to the hash.
                if [[ $http == 416 ]]; then
                    rm -f -- "$partial"
                elif [[ $http == 404 || $http == 410 ]]; then
                    return "$NOT_THERE"
                else
                    break
                fi
                ;;
            18 | 28 | 52 | 55 | 56 | 92)
                ((attempt < 5)) || break
                say "${names[row]}: broke off at $(bytes_in "$partial") of ${sizes[row]} bytes; going on"
                sleep 1
                ;;
            *) break ;;
        esac
    done
    if [[ -n $mirror ]]; then remedy="check the address, or give another --mirror"; else
        remedy="fetch it on a connected machine and give the folder it is in with --mirror"
    fi
    complain "$address cannot be fetched ($(why "$status" "$http")); try again, or $remedy."
    return "$UNREACHABLE"
}

copy() { # FOLDER ROW PARTIAL
    local source=$1/${files[$2]}
    [[ -f $source ]] || return "$NOT_THERE"
    # Without its mode: a mirror's files are often read-only, and ours must be replaceable.
    if ! cp --no-preserve=mode -- "$source" "$3"; then
        complain "$source cannot be copied to $3; check that the one can be read and the other written."
        return "$UNREACHABLE"
    fi
}

fetch_row() { # ROW
    local row=$1 path=$dest/${files[$1]} address status try
    local partial=$path.partial
    for try in 1 2; do
        # An earlier run may have been stopped between the last byte and the renaming.
        if [[ -f $partial ]] && is_right "$row" "$partial"; then break; fi
        local resumed=no
        [[ -s $partial ]] && resumed=yes
        status=0
        if [[ -n $folder ]]; then
            resumed=no
            copy "$folder" "$row" "$partial" || status=$?
            address=$folder/${files[row]}
        else
            address=${addresses[row]}
            [[ -n $mirror ]] && address=$mirror/${files[row]}
            # Said only of what takes a while, and before it does.
            say "${names[row]}: fetching ${files[row]} (${sizes[row]} bytes) from ${address%/*}"
            download "$row" "$address" "$partial" || status=$?
        fi
        ((status == 0)) || return "$status"
        if is_right "$row" "$partial"; then break; fi
        rm -f -- "$partial"
        # What was gone on with may have been the start of another file; what was fetched whole is simply wrong.
        if [[ $try == 2 || $resumed == no ]]; then
            complain "$address has not the ${checks[row]} ${hashes[row]}, so it was not kept;" \
                "get the file from another --mirror."
            return "$WRONG"
        fi
        say "${names[row]}: what was there was not the start of this file; fetching it from its start"
    done
    mv -fT -- "$partial" "$path"
    say "${names[row]}: ${files[row]} is there, its ${checks[row]} is right"
    # For who wants to pin it: the publisher's md5 is all there is to check against.
    if [[ ${checks[row]} == md5 ]]; then
        local sum
        sum=$(sha256sum <"$path")
        say "    its sha256 is ${sum%% *} (not checked: nobody we trust publishes it)"
    fi
}

obtain() { # NAME
    local row path status found='' wanted=()
    for row in "${!names[@]}"; do
        [[ ${names[row]} == "$1" ]] || continue
        path=$dest/${files[row]}
        if [[ -f $path ]]; then
            if is_right "$row" "$path"; then
                found=${files[row]}
            else
                # Out of the way at once, so that training cannot load it even where no better one can be had.
                say "$1: ${files[row]} is there but wrong (${checks[row]} differs): renamed to ${files[row]}.partial"
                mv -fT -- "$path" "$path.partial"
            fi
        fi
        if [[ -n $mirror || ${addresses[row]} != - ]]; then wanted+=("$row"); fi
    done
    if [[ -n $found ]]; then
        say "$1: $found is there and right"
        return 0
    fi
    if [[ ${#wanted[@]} -eq 0 ]]; then
        complain "$1: has no public address; give a folder or an address that holds it with --mirror."
        return 1
    fi
    local sought='' wrong=no
    for row in "${wanted[@]}"; do
        status=0
        fetch_row "$row" || status=$?
        case $status in
            0) return 0 ;;
            "$NOT_THERE") sought+="${sought:+ nor }${files[row]}" ;;
            "$WRONG") wrong=yes ;;
            *) return 1 ;;
        esac
    done
    if [[ $wrong == no && -n $mirror ]]; then
        complain "$1: $mirror does not hold $sought; put it there, or give another --mirror."
    elif [[ $wrong == no ]]; then
        complain "$1: ${addresses[${wanted[0]}]} is no longer there;" \
            "give a folder or an address that holds it with --mirror."
    fi
    return 1
}

# ------------------------------------------------------------------------------------------------------- command line

mirror='' folder='' dest=$HERE/weights only_list=no chosen=()

while (($#)); do
    case $1 in
        --mirror | --dest)
            [[ -n ${2-} ]] || die "$1 needs a value; see ./$PROGRAM --help." 2
            if [[ $1 == --mirror ]]; then mirror=$2; else dest=$2; fi
            shift
            ;;
        --mirror=?*) mirror=${1#*=} ;;
        --dest=?*) dest=${1#*=} ;;
        --list) only_list=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        --)
            shift
            chosen+=("$@")
            break
            ;;
        -*) die "$1: no such option; see ./$PROGRAM --help." 2 ;;
        *) chosen+=("$1") ;;
    esac
    shift
done

read_table

known=()
for name in "${names[@]}"; do
    [[ " ${known[*]-} " == *" $name "* ]] || known+=("$name")
done
for name in ${chosen[@]+"${chosen[@]}"}; do
    [[ " ${known[*]} " == *" $name "* ]] || die "$name: no such weights; the known ones are ${known[*]}." 2
done
[[ ${#chosen[@]} -gt 0 ]] || chosen=("${known[@]}")

if [[ $only_list == yes ]]; then
    list
    exit 0
fi

case $mirror in
    '') ;;
    http://* | https://*)
        mirror=${mirror%/}
        mirror=${mirror// /%20}
        ;;
    file://*)
        folder=${mirror#file://}
        folder=${folder#localhost}
        # Percent-decoded; backslashes are kept from printf first, so that a path is never anything but a path.
        folder=${folder//\\/\\\\}
        printf -v folder '%b' "${folder//%/\\x}"
        ;;
    *) folder=$mirror ;;
esac
if [[ -n $folder && ! -d $folder ]]; then
    die "--mirror $mirror: neither a folder that is there nor a file://, http:// or https:// address; correct it."
fi
# curl takes a name with a leading dash for a mistake.
[[ $dest == /* ]] || dest=$PWD/$dest
mkdir -p -- "$dest" 2>/dev/null || die "$dest: this folder cannot be made; give another with --dest."
[[ -w $dest ]] || die "$dest: this folder cannot be written to; give another with --dest."

failed=0
for name in "${chosen[@]}"; do
    obtain "$name" || failed=1
done
exit "$failed"
