/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory: code common to all sources; see the header.
 */

#include "qemu/osdep.h"
#include "pages.h"

void dump_pages_free(DumpPages *pages)
{
    if (pages) {
        pages->ops->free(pages);
    }
}

DumpPagesReader *dump_pages_reader_new(DumpPages *pages, Error **errp)
{
    DumpPagesReader *reader = pages->ops->reader_new(pages, errp);

    if (reader) {
        reader->pages = pages;
    }
    return reader;
}

void dump_pages_reader_free(DumpPagesReader *reader)
{
    if (reader) {
        reader->pages->ops->reader_free(reader);
    }
}

DumpPagesKind dump_pages_get(DumpPagesReader *reader, uint64_t paddr,
                             uint64_t *len, const uint8_t **bytes)
{
    uint64_t asked = *len;
    DumpPagesKind kind = reader->pages->ops->get(reader, paddr, len, bytes);

    assert(*len >= 1 && *len <= asked);
    return kind;
}

uint64_t dump_pages_zero_ahead(DumpPagesReader *reader, uint64_t paddr,
                               uint64_t len)
{
    uint64_t n = reader->pages->ops->zero_ahead ?
                 reader->pages->ops->zero_ahead(reader, paddr, len) : 0;

    assert(n <= len);
    return n;
}

bool dump_pages_put(DumpPagesReader *reader, uint64_t paddr, uint64_t len)
{
    return !reader->pages->ops->put ||
           reader->pages->ops->put(reader, paddr, len);
}

bool dump_pages_may_change(const DumpPages *pages)
{
    return pages->ops->put;
}

void dump_pages_give(DumpPages *pages, uint64_t paddr, uint64_t len)
{
    if (pages->ops->give) {
        pages->ops->give(pages, paddr, len);
    }
}

DumpPagesKind dump_pages_get_copy(DumpPagesReader *reader, uint64_t paddr,
                                  uint8_t *buf, uint64_t *len)
{
    uint64_t asked = *len;
    const uint8_t *bytes;
    DumpPagesKind kind;

    do {
        *len = asked;
        kind = dump_pages_get(reader, paddr, len, &bytes);
        if (kind == DUMP_PAGES_DATA) {
            memcpy(buf, bytes, *len);
        }
    } while (!dump_pages_put(reader, paddr, *len));
    return kind;
}

size_t dump_pages_read(DumpPagesReader *reader, uint64_t paddr, void *buf,
                       size_t len, size_t *lost)
{
    uint8_t *to = buf;
    size_t found = 0, missing = 0;

    while (len) {
        uint64_t n = len;
        DumpPagesKind kind = dump_pages_get_copy(reader, paddr, to, &n);

        if (kind != DUMP_PAGES_DATA) {
            memset(to, 0, n);
        }
        if (kind == DUMP_PAGES_DATA || kind == DUMP_PAGES_ZERO) {
            found += n;
        } else if (kind != DUMP_PAGES_NONE) {
            missing += n;
        }
        to += n;
        len -= n;
        if (n > UINT64_MAX - paddr) {
            memset(to, 0, len);     /* end of the address space */
            break;
        }
        paddr += n;
    }
    if (lost) {
        *lost = missing;
    }
    return found;
}

bool dump_pages_read_virtual(DumpPagesReader *reader,
                             DumpPagesTranslate *translate,
                             const void *tables, uint64_t vaddr, void *buf,
                             size_t len)
{
    while (len) {
        uint64_t paddr, left;
        size_t n;

        if (!translate(tables, reader, vaddr, &paddr, &left)) {
            return false;
        }
        n = MIN(len, left);
        if (dump_pages_read(reader, paddr, buf, n, NULL) != n) {
            return false;
        }
        vaddr += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return true;
}
