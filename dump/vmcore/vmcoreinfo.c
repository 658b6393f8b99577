/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VMCOREINFO text.
 */

#include "qemu/osdep.h"
#include "vmcoreinfo.h"

struct VmcoreInfo {
    char *text;                 /* copy, cut up into keys and values */
    GHashTable *values;         /* key -> value, both inside text */
};

/* Cut @line at '=' and enter it; text without '=' says nothing. */
static void add_line(VmcoreInfo *info, char *line)
{
    char *value = strchr(line, '=');

    if (value) {
        *value++ = '\0';
        if (!g_hash_table_contains(info->values, line)) {
            g_hash_table_insert(info->values, line, value);
        }
    }
}

VmcoreInfo *vmcoreinfo_parse(const uint8_t *text, size_t len)
{
    VmcoreInfo *info = g_new0(VmcoreInfo, 1);
    char *line, *next;

    info->text = g_strndup((const char *)text, len);
    info->values = g_hash_table_new(g_str_hash, g_str_equal);
    for (line = info->text; line; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        add_line(info, line);
    }
    return info;
}

void vmcoreinfo_free(VmcoreInfo *info)
{
    if (info) {
        g_hash_table_unref(info->values);
        g_free(info->text);
        g_free(info);
    }
}

const char *vmcoreinfo_get(const VmcoreInfo *info, const char *key)
{
    return info ? g_hash_table_lookup(info->values, key) : NULL;
}

/*
 * The magnitude of a number: digits of @base only, nothing before or
 * behind them.
 */
static bool parse_digits(const char *s, int base, uint64_t *value)
{
    char *end;

    if (!g_ascii_isxdigit(*s)) {
        return false;
    }
    if (base == 16 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        s += 2;
        if (!g_ascii_isxdigit(*s)) {
            return false;
        }
    }
    errno = 0;
    *value = g_ascii_strtoull(s, &end, base);
    return errno == 0 && end != s && *end == '\0';
}

bool vmcoreinfo_get_number(const VmcoreInfo *info, const char *key,
                           int64_t *value)
{
    const char *s = vmcoreinfo_get(info, key);
    bool negative = s && *s == '-';
    uint64_t magnitude;
    int base;

    if (!s) {
        return false;
    }
    s += negative;
    base = s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10;
    if (!parse_digits(s, base, &magnitude)) {
        return false;
    }
    if (negative) {
        if (magnitude > (uint64_t)INT64_MAX + 1) {
            return false;
        }
        *value = (int64_t)(0 - magnitude);
        return true;
    }
    /* Hexadecimal is how addresses are printed: all 64 bits are good. */
    if (base == 10 && magnitude > INT64_MAX) {
        return false;
    }
    *value = (int64_t)magnitude;
    return true;
}

bool vmcoreinfo_get_address(const VmcoreInfo *info, const char *key,
                            uint64_t *value)
{
    const char *s = vmcoreinfo_get(info, key);

    return s && parse_digits(s, 16, value);
}
