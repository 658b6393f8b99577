/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Measure the speed of codecs without a dump, on the pages of a file:
 *
 *   codec-speed FILE [SECONDS]
 *
 * Prints a line per codec of this build: name, MiB of guest memory per second
 * of CPU time (including zero pages, handled as in a dump) on one core while
 * the others are idle, the sum on all cores at once, and the compressed size in
 * bytes. (Cores may share execution units, so the second figure need not be a
 * multiple of the first.) The file is processed repeatedly for SECONDS
 * (default: 1).
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
            /* Stored uncompressed: the writer copies it. */
            memcpy(dst, data + at, PAGE);
            n = PAGE;
        }
        total += n;
    }
    return total;
}

typedef struct Work {
    const DumpCodec *codec;
    const uint8_t *data;
    size_t len;
    double seconds;
    /* Result */
    uint64_t bytes, rounds;
    double processor;           /* CPU time of this thread in seconds */
} Work;

static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static gpointer work(gpointer opaque)
{
    Work *w = opaque;
    void *state = w->codec->create(&error_abort);
    g_autofree uint8_t *dst = g_malloc(MAX(w->codec->bound(PAGE), PAGE));
    double start = thread_seconds();

    do {
        w->bytes = compress_all(w->codec, state, w->data, w->len, dst);
        w->rounds++;
        w->processor = thread_seconds() - start;
    } while (w->processor < w->seconds);
    w->codec->destroy(state);
    return NULL;
}

static double rate(const Work *w)
{
    return (double)w->len * w->rounds / MiB / w->processor;
}

static void measure(const Work *what)
{
    unsigned n = g_get_num_processors();
    g_autofree Work *all = g_new(Work, n);
    g_autofree GThread **threads = g_new(GThread *, n);
    Work alone = *what;
    double sum = 0;

    work(&alone);
    for (unsigned i = 0; i < n; i++) {
        all[i] = *what;
        threads[i] = g_thread_new("codec", work, &all[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(threads[i]);
        sum += rate(&all[i]);
    }
    printf("%s %.1f %.1f %" PRIu64 "\n", what->codec->name, rate(&alone), sum,
           alone.bytes);
}

int main(int argc, char **argv)
{
    g_autofree char *data = NULL;
    Work what = { 0 };

    if (argc < 2 || !g_file_get_contents(argv[1], &data, &what.len, NULL)) {
        fprintf(stderr, "usage: codec-speed FILE [SECONDS]\n");
        return 1;
    }
    what.data = (uint8_t *)data;
    what.seconds = argc > 2 ? g_ascii_strtod(argv[2], NULL) : 1;
    for (int i = 0; i < DUMP_CODEC__MAX; i++) {
        what.codec = dump_codec_find(i);
        if (what.codec) {
            measure(&what);
        }
    }
    return 0;
}
