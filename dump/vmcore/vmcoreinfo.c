/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Parser of VMCOREINFO text.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "vmcoreinfo.h"

struct VmcoreInfo {
    char *text;                 /* copy, split into keys and values */
    GPtrArray *keys;            /* inside text; each value follows its key */
};

/* Split @line at '=' and add it; lines without '=' are ignored. */
static void add_line(VmcoreInfo *info, char *line)
{
    char *value = strchr(line, '=');

    if (value) {
        *value = '\0';
        g_ptr_array_add(info->keys, line);
    }
}

VmcoreInfo *vmcoreinfo_parse(const uint8_t *text, size_t len)
{
    VmcoreInfo *info = g_new0(VmcoreInfo, 1);
    char *line, *next;

    info->text = g_strndup((const char *)text, len);
    info->keys = g_ptr_array_new();
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
        g_ptr_array_unref(info->keys);
        g_free(info->text);
        g_free(info);
    }
}

const char *vmcoreinfo_get(const VmcoreInfo *info, const char *key)
{
    /*
     * Linear search: there are few lookups, and the guest could choose keys
     * that make a hash table slow.
     */
    for (unsigned i = 0; info && i < info->keys->len; i++) {
        const char *k = g_ptr_array_index(info->keys, i);

        if (!strcmp(k, key)) {
            return k + strlen(k) + 1;
        }
    }
    return NULL;
}

/*
 * Parse the magnitude of a number. Nothing but digits of @base (and, for 16,
 * the prefix) is accepted.
 */
static bool parse_digits(const char *s, int base, uint64_t *value)
{
    uint64_t v;
    char *end;

    if (!g_ascii_isxdigit(*s)) {
        return false;
    }
    /* g_ascii_strtoull() accepts a prefix without digits, as "0". */
    if (base == 16 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
        !g_ascii_isxdigit(s[2])) {
        return false;
    }
    errno = 0;
    v = g_ascii_strtoull(s, &end, base);
    if (errno || end == s || *end) {
        return false;
    }
    *value = v;
    return true;
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
    /* Hexadecimal is used for addresses, which may have all 64 bits. */
    if (base == 10 && magnitude > INT64_MAX) {
        return false;
    }
    *value = (int64_t)magnitude;
    return true;
}

bool vmcoreinfo_lacks(const char *key, Error **errp)
{
    error_setg(errp, "VMCOREINFO has no valid %s", key);
    return false;
}

bool vmcoreinfo_get_in_range(const VmcoreInfo *info, const char *key,
                             int64_t least, int64_t most, int64_t *value,
                             Error **errp)
{
    return (vmcoreinfo_get_number(info, key, value) && *value >= least &&
            *value <= most) || vmcoreinfo_lacks(key, errp);
}

bool vmcoreinfo_get_address(const VmcoreInfo *info, const char *key,
                            uint64_t *value)
{
    const char *s = vmcoreinfo_get(info, key);

    return s && parse_digits(s, 16, value);
}
