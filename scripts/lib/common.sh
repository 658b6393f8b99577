# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shell functions that the scripts share.

# A Python of a version manager, or meson from elsewhere, must not come first.
export PATH="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
export DEBIAN_FRONTEND=noninteractive

say() {
    printf '== %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# install_packages GROUP...: what scripts/packages lists and the machine
# lacks.
install_packages() {
    local group line missing=() list
    list=$(dirname "${BASH_SOURCE[0]}")/../packages
    for group in "$@"; do
        while read -r line; do
            for line in ${line#*:}; do
                dpkg-query -W -f '${Status}' "$line" 2>/dev/null |
                    grep -q 'install ok installed' || missing+=("$line")
            done
        done < <(grep "^$group:" "$list")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "run as root, or install: ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get -qq update || die "apt-get update failed"
    apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}
