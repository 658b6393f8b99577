/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Construction and parsing of ELF notes.
 */

#include "qemu/osdep.h"
#include "elf-notes.h"

static uint64_t note_pad(uint32_t size)
{
    return ROUND_UP((uint64_t)size, 4);
}

static void append_padded(GByteArray *out, const void *data, uint32_t size)
{
    static const uint8_t zero[4];

    g_byte_array_append(out, data, size);
    g_byte_array_append(out, zero, note_pad(size) - size);
}

void elf_note_append(GByteArray *out, const DumpAbi *abi, const char *name,
                     uint32_t type, const void *desc, uint32_t descsz)
{
    uint8_t head[ELF_NOTE_HEADER_SIZE];
    uint32_t namesz = strlen(name) + 1;

    dump_put32(abi, head, namesz);
    dump_put32(abi, head + 4, descsz);
    dump_put32(abi, head + 8, type);
    g_byte_array_append(out, head, sizeof(head));
    append_padded(out, name, namesz);
    append_padded(out, desc, descsz);
}

bool elf_note_next(const DumpAbi *abi, const uint8_t *buf, size_t len,
                   size_t *pos, ElfNote *note)
{
    const uint8_t *p = buf + *pos;
    uint64_t left = len - *pos;
    uint64_t need;

    if (left < ELF_NOTE_HEADER_SIZE) {
        return false;
    }
    note->namesz = dump_get32(abi, p);
    note->descsz = dump_get32(abi, p + 4);
    note->type = dump_get32(abi, p + 8);
    if (!note->namesz && !note->descsz && !note->type) {
        return false;
    }

    /* 64-bit sums of 32-bit values: they cannot wrap. */
    need = ELF_NOTE_HEADER_SIZE + note_pad(note->namesz) + note->descsz;
    if (need > left) {
        return false;
    }
    note->name = (const char *)p + ELF_NOTE_HEADER_SIZE;
    note->desc = p + ELF_NOTE_HEADER_SIZE + note_pad(note->namesz);
    *pos += MIN(left, ELF_NOTE_HEADER_SIZE + note_pad(note->namesz) +
                      note_pad(note->descsz));
    return true;
}

bool elf_note_is(const ElfNote *note, const char *name)
{
    size_t len = strlen(name);

    return (note->namesz == len ||
            (note->namesz == len + 1 && note->name[len] == '\0')) &&
           memcmp(note->name, name, len) == 0;
}
