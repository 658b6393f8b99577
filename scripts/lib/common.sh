# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shell functions shared by the scripts.

# The system's Python and meson must come before those of a version manager.
export PATH="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
export DEBIAN_FRONTEND=noninteractive
# Otherwise, ccache runs the preprocessor, too, for each file that it does not
# have, which takes half as long as compiling.
export CCACHE_DEPEND=1

say() {
    printf '== %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# help_wanted ARGUMENT: for -h or --help, print the script's first comment, and
# exit.
help_wanted() {
    case $1 in
    -h | --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    esac
}

# install_packages GROUP...: install the packages of these groups in
# scripts/packages that are missing.
install_packages() {
    local group name names='' missing=() list there
    list=$(dirname "${BASH_SOURCE[0]}")/../packages
    for group in "$@"; do
        names+=" $(sed -n "s/^$group://p" "$list")"
    done
    # dpkg-query fails if one of them is unknown.
    there=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $names \
                2>/dev/null | sed -n 's/^installed //p' || true)
    for name in $names; do
        grep -qx "$name" <<< "$there" ||
            [[ " ${missing[*]} " = *" $name "* ]] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "run as root, or install: ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get -qq update || die "apt-get update failed"
    apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends --no-remove "${missing[@]}" \
        >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}
