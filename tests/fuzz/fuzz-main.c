/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "fuzz-NAME --seeds=DIR" writes the seed corpus to DIR and the dictionary to
 * DIR.dict; all other options are libFuzzer's.
 */

#include "fuzz.h"
#include <glib/gstdio.h>

static const char *seed_dir;
static unsigned nr_seeds;
static FILE *dict;

void fuzz_fail(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    abort();
}

static void write_seed(const void *data, size_t len)
{
    g_autofree char *path = g_strdup_printf("%s/seed-%03u", seed_dir,
                                            nr_seeds++);

    FUZZ_CHECK(g_file_set_contents(path, data, len, NULL));
}

static void write_word(const void *data, size_t len)
{
    fputc('"', dict);
    for (size_t i = 0; i < len; i++) {
        fprintf(dict, "\\x%02x", ((const uint8_t *)data)[i]);
    }
    fputs("\"\n", dict);
}

static void write_seeds(const char *dir)
{
    g_autofree char *dict_path = g_strdup_printf("%s.dict", dir);

    seed_dir = dir;
    FUZZ_CHECK(g_mkdir_with_parents(dir, 0700) == 0);
    dict = fopen(dict_path, "w");
    FUZZ_CHECK(dict);
    fuzz_seeds(write_seed, write_word);
    FUZZ_CHECK(fclose(dict) == 0 && nr_seeds);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc > 1 && g_str_has_prefix((*argv)[1], "--seeds=")) {
        write_seeds((*argv)[1] + strlen("--seeds="));
        exit(0);
    }
    return 0;
}
