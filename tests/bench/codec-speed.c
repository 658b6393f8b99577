/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one core makes of a codec, on the pages of a file:
 *
 *   codec-speed FILE [SECONDS]
 *
 * Prints a line per codec of this build: name, MiB of guest memory per
 * second of processor time (zero pages included, as a dump handles them),
 * and bytes that the pages take. A file is gone over again until SECONDS (1)
 * are used up.
 */

#include "qemu/osdep.h"
#include <time.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "codec.h"

#define PAGE 4096

static uint64_t compress_all(const DumpCodec *codec, void *state,
                             const uint8_t *data, size_t len, uint8_t *dst)
{
    uint64_t total = 0;

    for (size_t at = 0; at + PAGE <= len; at += PAGE) {
        size_t n;

        if (buffer_is_zero(data + at, PAGE)) {
            continue;
        }
        n = codec->compress(state, data + at, PAGE, dst);
        if (!n || n >= PAGE) {
            /* Stored as it is: the writer copies it. */
            memcpy(dst, data + at, PAGE);
            n = PAGE;
        }
        total += n;
    }
    return total;
}

static void measure(const DumpCodec *codec, const uint8_t *data, size_t len,
                    double seconds)
{
    void *state = codec->create(&error_abort);
    g_autofree uint8_t *dst = g_malloc(MAX(codec->bound(PAGE), PAGE));
    clock_t start = clock();
    uint64_t bytes = 0, rounds = 0;
    double elapsed;

    do {
        bytes = compress_all(codec, state, data, len, dst);
        rounds++;
        elapsed = (double)(clock() - start) / CLOCKS_PER_SEC;
    } while (elapsed < seconds);
    printf("%s %.1f %" PRIu64 "\n", codec->name,
           (double)len * rounds / MiB / elapsed, bytes);
    codec->destroy(state);
}

int main(int argc, char **argv)
{
    g_autofree char *data = NULL;
    gsize len;

    if (argc < 2 || !g_file_get_contents(argv[1], &data, &len, NULL)) {
        fprintf(stderr, "usage: codec-speed FILE [SECONDS]\n");
        return 1;
    }
    for (int i = 0; i < DUMP_CODEC__MAX; i++) {
        const DumpCodec *codec = dump_codec_find(i);

        if (codec) {
            measure(codec, (uint8_t *)data, len,
                    argc > 2 ? g_ascii_strtod(argv[2], NULL) : 1);
        }
    }
    return 0;
}
