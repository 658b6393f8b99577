/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF notes: construction, and bounds-checked parsing of notes that come from
 * the guest.
 *
 * Layout source: System V ABI, "Note Section". As in Linux, the three header
 * words are 32 bits wide in both classes, and name and descriptor are each
 * padded to 4 bytes.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_ELF_NOTES_H
#define DUMP_VMCORE_ELF_NOTES_H

#include "byteorder.h"

#define ELF_NOTE_HEADER_SIZE 12

/* One note; the pointers are into the caller's buffer. */
typedef struct ElfNote {
    const char *name;           /* namesz bytes, not always terminated */
    uint32_t namesz;            /* as stored, including any terminator */
    uint32_t type;
    const uint8_t *desc;
    uint32_t descsz;            /* bytes, without padding */
} ElfNote;

/* Append one note to @out; @name is stored with its terminator. */
void elf_note_append(GByteArray *out, const DumpAbi *abi, const char *name,
                     uint32_t type, const void *desc, uint32_t descsz);

/*
 * Read the note at *@pos of @buf[0..@len) and move *@pos behind it.
 *
 * Returns false at the end (*@pos == @len), and with *@pos unchanged if the
 * rest is not a complete note or starts with a header of zeroes, which is
 * Linux's end marker. Never reads outside the buffer, whatever the sizes in
 * the note. The padding of the last descriptor may be missing; *@pos is then
 * @len.
 */
bool elf_note_next(const DumpAbi *abi, const uint8_t *buf, size_t len,
                   size_t *pos, ElfNote *note);

/* True if the note's name is exactly @name (with or without terminator). */
bool elf_note_is(const ElfNote *note, const char *name);

#endif
