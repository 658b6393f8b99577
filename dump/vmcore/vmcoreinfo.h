/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VMCOREINFO: the KEY=VALUE lines a Linux kernel publishes about itself.
 *
 * Format source: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst and
 * the lines of kernel/vmcore_info.c as seen in real guests. The text comes
 * from the guest and is hostile: it may lack newlines, terminators or
 * sense.
 *
 * An object is not changed after it was parsed; any thread may read it.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_H
#define DUMP_VMCORE_VMCOREINFO_H

typedef struct VmcoreInfo VmcoreInfo;

/*
 * Parse @len bytes of text, which need no terminator. The text ends at
 * the first NUL byte. Lines without '=' are passed over; of two lines with
 * the same key the first one counts; carriage returns are not special.
 * The bytes are copied. Never fails: garbage gives an object without keys.
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
 * Returns false, and leaves *@value alone, when the key is missing, the
 * number has other characters around it or does not fit.
 */
bool vmcoreinfo_get_number(const VmcoreInfo *info, const char *key,
                           int64_t *value);

/*
 * The same of a number from @least to @most. If it is another one, or missing,
 * @errp says so; *@value may be changed then.
 */
bool vmcoreinfo_get_in_range(const VmcoreInfo *info, const char *key,
                             int64_t least, int64_t most, int64_t *value,
                             Error **errp);

/* The error for a key whose value is of no use. Returns false. */
bool vmcoreinfo_lacks(const char *key, Error **errp);

/* SYMBOL(): hexadecimal without prefix ("0x" is allowed). Same returns. */
bool vmcoreinfo_get_address(const VmcoreInfo *info, const char *key,
                            uint64_t *value);

#endif
