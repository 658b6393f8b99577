/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VMCOREINFO: KEY=VALUE lines that a Linux kernel provides for dump readers.
 *
 * Format source: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst and
 * the lines of kernel/vmcore_info.c as seen in real guests. The text comes
 * from the guest and is not trusted: it may lack newlines or terminators, or
 * be garbage.
 *
 * Objects are immutable; any thread may read them.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_H
#define DUMP_VMCORE_VMCOREINFO_H

typedef struct VmcoreInfo VmcoreInfo;

/*
 * Parse @len bytes of text, which need no terminator. The text ends at the
 * first NUL byte. Lines without '=' are ignored; of several lines with the
 * same key the first one is used; carriage returns are not special. The text
 * is copied. Never fails: garbage gives an object without keys.
 */
VmcoreInfo *vmcoreinfo_parse(const uint8_t *text, size_t len);
void vmcoreinfo_free(VmcoreInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmcoreInfo, vmcoreinfo_free)

/*
 * The value of @key ("OSRELEASE", "NUMBER(phys_base)"), owned by @info,
 * NULL if there is none. @info may be NULL everywhere below.
 */
const char *vmcoreinfo_get(const VmcoreInfo *info, const char *key);

/*
 * A number as the kernel prints it: decimal, maybe negative, for NUMBER(),
 * OFFSET(), SIZE(), LENGTH() and PAGESIZE; "0x" selects hexadecimal, which
 * some NUMBER() lines use (any 64 bits, taken as two's complement).
 * Returns false, with *@value unchanged, if the key is missing, or the value
 * contains other characters or is out of range.
 */
bool vmcoreinfo_get_number(const VmcoreInfo *info, const char *key,
                           int64_t *value);

/*
 * The same for a number from @least to @most. Sets @errp if it is missing or
 * out of range; *@value is then undefined.
 */
bool vmcoreinfo_get_in_range(const VmcoreInfo *info, const char *key,
                             int64_t least, int64_t most, int64_t *value,
                             Error **errp);

/* Set the error for a missing or invalid @key. Returns false. */
bool vmcoreinfo_lacks(const char *key, Error **errp);

/*
 * SYMBOL(): hexadecimal without prefix ("0x" is allowed). Returns as
 * vmcoreinfo_get_number does.
 */
bool vmcoreinfo_get_address(const VmcoreInfo *info, const char *key,
                            uint64_t *value);

#endif
