# SPDX-License-Identifier: GPL-2.0-or-later
#
# Compile all of dump/ for 64-bit Windows, without linking. Sourced by
# scripts/other-host, which sets $here, $root and $cache.
#
# The headers of GLib and of the compression libraries are those of the build
# machine; only glibconfig.h is converted. The generated headers (QAPI, trace)
# are those of a build of QEMU 10.0, which must exist.

# glibconfig.h of the build machine, converted to LLP64 ('long' has 32 bits).
windows_glibconfig() {
    sed -e 's/signed long \(gint64\|gssize\|gintptr\)\>/signed long long \1/' \
        -e 's/unsigned long \(guint64\|gsize\|guintptr\)\>/unsigned long long \1/' \
        -e 's/(val##L)/(val##LL)/; s/(val##UL)/(val##ULL)/' \
        -e 's/\(INT64_MODIFIER\|INT64_FORMAT\|SIZE_MODIFIER\|SIZE_FORMAT\) "l/&l/' \
        -e 's/GLIB_SIZEOF_LONG   8/GLIB_SIZEOF_LONG   4/' \
        -e '/define G_MAXSIZE/s/ULONG/UINT64/; /define G_M.*SSIZE/s/LONG/INT64/' \
        -e '/POINTER/{s/(glong)/(gint64)/; s/(gulong)/(guint64)/}' \
        -e '/define GU\{0,1\}LONG_TO/s/INT64_TO/INT32_TO/' \
        -e 's/G_OS_UNIX/G_OS_WIN32/; s/G_THREADS_IMPL_POSIX/G_THREADS_IMPL_WIN32/' \
        "$(pkg-config --variable=libdir glib-2.0)/glib-2.0/include/glibconfig.h"
}

# config-host.h for Windows, as far as dump/ and the headers that it includes
# need it.
windows_config() {
    cat <<'CONFIG'
#define CONFIG_WIN32 1
#define CONFIG_TCG 1
#define CONFIG_LZO 1
#define CONFIG_SNAPPY 1
#define CONFIG_ZSTD 1
#define HOST_X86_64 1
#define CONFIG_TRACE_NOP 1
#define QEMU_VERSION_MAJOR 10
#define QEMU_VERSION_MINOR 0
#define QEMU_VERSION_MICRO 0
CONFIG
}

# Compile $1, a path relative to $sources, with the options in $work/options.
# The result, in TAP, and the first messages are written to $work/NAME.tap.
windows_compile_file() {
    local name=${1//\//-} target=()
    # This file is compiled per target; here for x86_64.
    [ "$1" != dump/x86-cpu.c ] ||
        target=(-DNEED_CPU_H -DCOMPILING_PER_TARGET
                '-DCONFIG_TARGET="x86_64-softmmu-config-target.h"'
                '-DCONFIG_DEVICES="x86_64-softmmu-config-devices.h"'
                -I"$tree/target/i386"
                -I"$build/libqemu-x86_64-softmmu.a.p")
    if x86_64-w64-mingw32-gcc @"$work/options" "${target[@]}" -c \
        -o "$work/$name.o" "$sources/$1" > "$work/$name.log" 2>&1; then
        echo "ok $1"
    else
        echo "not ok $1"
        head -n 20 "$work/$name.log" | sed 's/^/# /'
    fi > "$work/$name.tap"
}

# windows_compile SOURCES WORK: compile dump/ of the folder SOURCES; objects
# and messages are written to WORK. Prints a TAP line for each file.
windows_compile() {
    local binary
    export sources=$1 work=$2 tree build
    binary=$("$here/qemu-tree" path 10.0) ||
        die "QEMU 10.0 is not built: run scripts/qemu-tree build 10.0"
    build=$(dirname "$binary")
    tree=$(dirname "$build")
    mkdir -p "$work/include" "$work/lib"
    windows_glibconfig > "$work/include/glibconfig.h"
    windows_config > "$work/include/config-host.h"
    # Not /usr/include itself, which has the C library's headers.
    cp -rL /usr/include/lzo /usr/include/{zlib,zconf,zstd,zstd_errors}.h \
        /usr/include/{snappy-c,libdeflate}.h /usr/include/pixman-1/*.h \
        "$work/lib"
    printf '%s\n' -std=gnu11 -O2 -Wall -Werror -D_GNU_SOURCE \
        -D_WIN32_WINNT=0x602 -D__USE_MINGW_ANSI_STDIO=1 \
        -D_FILE_OFFSET_BITS=64 \
        "-I$work/include" "-I$sources" "-I$sources/dump" "-I$tree" \
        "-I$tree/include" "-I$tree/host/include/generic" "-I$build" \
        "-I$build/qapi" "-I$build/trace" "-I$build/ui" \
        "-I$(pkg-config --variable=includedir glib-2.0)/glib-2.0" \
        "-isystem$work/lib" > "$work/options"
    export -f windows_compile_file
    # The first two are replaced by other files on Windows.
    (cd "$sources" && printf '%s\n' dump/*.c dump/vmcore/*.c) |
        grep -vxE 'dump/vmcore/fd-posix.c|dump/guest-files.c' |
        xargs -P "$(nproc)" -I{} bash -c 'windows_compile_file {}'
    # Otherwise the C library's headers of the build machine are in use.
    echo '#include <poll.h>' |
        x86_64-w64-mingw32-gcc @"$work/options" -E - > "$work/probe" 2>&1 ||
        true
    if grep -q 'poll.h: No such file' "$work/probe"; then
        echo "ok there are no POSIX headers"
    else
        echo "not ok there are POSIX headers"
    fi > "$work/1.tap"
    cat "$work"/*.tap
    ! grep -q '^not ok' "$work"/*.tap
}
