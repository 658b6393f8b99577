/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF notes: building them, and a bounds-checked walk over notes that come
 * from the guest.
 *
 * Layout source: System V ABI, "Note Section"; as Linux writes them, the
 * three header words are 32 bits wide in both classes, name and descriptor
 * are each padded to 4 bytes.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_ELF_NOTES_H
#define DUMP_VMCORE_ELF_NOTES_H

#include "byteorder.h"

#define ELF_NOTE_HEADER_SIZE 12

/* One note inside somebody else's buffer; nothing is owned. */
typedef struct ElfNote {
    const char *name;           /* namesz bytes, not always terminated */
    uint32_t namesz;            /* as stored, with the terminator if any */
    uint32_t type;
    const uint8_t *desc;
    uint32_t descsz;            /* bytes, without padding */
} ElfNote;

/* Bytes that a note takes with all padding. */
size_t elf_note_size(uint32_t namesz, uint32_t descsz);

/* Append one note to @out; @name is stored with its terminator. */
void elf_note_append(GByteArray *out, const DumpAbi *abi, const char *name,
                     uint32_t type, const void *desc, uint32_t descsz);

/*
 * Read the note at *@pos of @buf[0..@len) and move *@pos behind it.
 *
 * Returns false at the end (*@pos == @len) and when what is left is not a
 * whole note: *@pos then stays where it was, below @len. The same goes for a
 * header of zeroes, by which Linux marks the end. Nothing outside the buffer
 * is read whatever the sizes claim. The padding of the very
 * last descriptor may be missing; *@pos is then @len.
 */
bool elf_note_next(const DumpAbi *abi, const uint8_t *buf, size_t len,
                   size_t *pos, ElfNote *note);

/* True if the note's name is exactly @name (with or without terminator). */
bool elf_note_is(const ElfNote *note, const char *name);

#endif
