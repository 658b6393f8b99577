/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * struct page of Linux; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "linux-page.h"

/* Larger than struct page in any configuration, in bytes. */
#define LINUX_PAGE_SIZE_LIMIT   512

#define LINUX_PAGE_TAIL         1       /* in compound_head: a tail page */
#define LINUX_PAGE_ANON         1       /* in mapping */

/* The offset of a member of @bytes bytes, relative to @base. */
static bool get_offset(const LinuxPageLayout *l, const VmcoreInfo *info,
                       const char *key, unsigned base, unsigned bytes,
                       unsigned *offset, Error **errp)
{
    int64_t value;

    if (!vmcoreinfo_get_in_range(info, key, base, base + l->size - bytes,
                                 &value, errp)) {
        return false;
    }
    *offset = value - base;
    return true;
}

/* The mask of the flag whose bit number is the value of @key. */
static bool get_flag(const VmcoreInfo *info, const char *key, uint64_t *mask,
                     Error **errp)
{
    int64_t value;

    if (!vmcoreinfo_get_in_range(info, key, 0, 63, &value, errp)) {
        return false;
    }
    *mask = 1ULL << value;
    return true;
}

/* Like get_flag(), for a flag that not all kernels have. */
static bool try_flag(const VmcoreInfo *info, const char *key, uint64_t *mask,
                     Error **errp)
{
    return !vmcoreinfo_get(info, key) || get_flag(info, key, mask, errp);
}

static bool try_type(const VmcoreInfo *info, const char *key,
                     LinuxPageType *type, Error **errp)
{
    int64_t value;

    if (!vmcoreinfo_get(info, key)) {
        return true;
    }
    if (!vmcoreinfo_get_in_range(info, key, INT32_MIN, UINT32_MAX, &value,
                                 errp)) {
        return false;
    }
    *type = (LinuxPageType) { .known = true, .value = value };
    return true;
}

static bool init_offsets(LinuxPageLayout *l, const VmcoreInfo *info,
                         Error **errp)
{
    const char *head = vmcoreinfo_get(info, "OFFSET(page.compound_info)") ?
        "OFFSET(page.compound_info)" : "OFFSET(page.compound_head)";
    int64_t size;

    if (!vmcoreinfo_get_in_range(info, "SIZE(page)", 32,
                                 LINUX_PAGE_SIZE_LIMIT, &size, errp)) {
        return false;
    }
    l->size = size;
    return get_offset(l, info, "OFFSET(page.flags)", 0, 8, &l->flags, errp) &&
           get_offset(l, info, "OFFSET(page.mapping)", 0, 8, &l->mapping,
                      errp) &&
           get_offset(l, info, "OFFSET(page._mapcount)", 0, 4, &l->mapcount,
                      errp) &&
           get_offset(l, info, "OFFSET(page.private)", 0, 8, &l->private,
                      errp) &&
           get_offset(l, info, head, 0, 8, &l->head, errp);
}

static bool init_flags(LinuxPageLayout *l, const VmcoreInfo *info,
                       Error **errp)
{
    int64_t mask;

    if (!get_flag(info, "NUMBER(PG_lru)", &l->lru, errp) ||
        !get_flag(info, "NUMBER(PG_private)", &l->has_private, errp) ||
        !get_flag(info, "NUMBER(PG_swapcache)", &l->swapcache, errp) ||
        !try_flag(info, "NUMBER(PG_swapbacked)", &l->swapbacked, errp) ||
        !try_flag(info, "NUMBER(PG_slab)", &l->slab, errp) ||
        !try_flag(info, "NUMBER(PG_hwpoison)", &l->hwpoison, errp)) {
        return false;
    }
    if (!vmcoreinfo_get_number(info, "NUMBER(PG_head_mask)", &mask)) {
        return vmcoreinfo_lacks("NUMBER(PG_head_mask)", errp);
    }
    l->compound = mask;
    return true;
}

static bool init_types(LinuxPageLayout *l, const VmcoreInfo *info,
                       Error **errp)
{
    int64_t orders;

    if (!try_type(info, "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", &l->buddy,
                  errp) ||
        !try_type(info, "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)",
                  &l->unaccepted, errp) ||
        !try_type(info, "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", &l->offline,
                  errp) ||
        !try_type(info, "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", &l->slab_type,
                  errp) ||
        !vmcoreinfo_get_in_range(info, "LENGTH(zone.free_area)", 1,
                                 LINUX_PAGE_MAX_ORDER, &orders, errp)) {
        return false;
    }
    l->nr_orders = orders;
    if (!l->buddy.known) {
        return vmcoreinfo_lacks("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", errp);
    }
    /* Needed because slab uses the other members for its own data. */
    return l->slab || l->slab_type.known ||
           vmcoreinfo_lacks("NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", errp);
}

/* Linux up to 6.5: the destructor's number, from 6.3 on in struct folio. */
static bool init_huge_dtor(LinuxPageLayout *l, const VmcoreInfo *info,
                           Error **errp)
{
    bool folio = vmcoreinfo_get(info, "OFFSET(folio._folio_order)");
    int64_t dtor;

    l->huge = LINUX_PAGE_HUGE_DTOR;
    if (!get_offset(l, info, folio ? "OFFSET(folio._folio_order)" :
                    "OFFSET(page.compound_order)", folio ? l->size : 0, 1,
                    &l->order, errp) ||
        !get_offset(l, info, folio ? "OFFSET(folio._folio_dtor)" :
                    "OFFSET(page.compound_dtor)", folio ? l->size : 0, 1,
                    &l->dtor, errp)) {
        return false;
    }
    /* Missing from kernels without hugetlbfs. */
    if (!vmcoreinfo_get(info, "NUMBER(HUGETLB_PAGE_DTOR)")) {
        return true;
    }
    if (!vmcoreinfo_get_in_range(info, "NUMBER(HUGETLB_PAGE_DTOR)", 1,
                                 UINT8_MAX, &dtor, errp)) {
        return false;
    }
    l->hugetlb_dtor = dtor;
    return true;
}

static bool init_huge(LinuxPageLayout *l, const VmcoreInfo *info,
                      Error **errp)
{
    if (!try_type(info, "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)",
                  &l->hugetlb_type, errp) ||
        !try_flag(info, "NUMBER(PG_hugetlb)", &l->hugetlb, errp)) {
        return false;
    }
    if (!l->hugetlb_type.known && !l->hugetlb) {
        return init_huge_dtor(l, info, errp);
    }
    l->huge = l->hugetlb_type.known ? LINUX_PAGE_HUGE_TYPE :
                                      LINUX_PAGE_HUGE_FLAG;
    l->order = l->flags;        /* lowest byte of the second page's flags */
    return true;
}

static bool check_release(const VmcoreInfo *info, Error **errp)
{
    const char *release = vmcoreinfo_get(info, "OSRELEASE");
    unsigned major, minor;

    if (!release || sscanf(release, "%3u.%3u", &major, &minor) != 2) {
        return vmcoreinfo_lacks("OSRELEASE", errp);
    }
    if (major < 4 || (major == 4 && minor < 16)) {
        error_setg(errp, "the guest's Linux %u.%u is too old: 4.16 is needed",
                   major, minor);
        return false;
    }
    return true;
}

bool linux_page_layout_init(LinuxPageLayout *layout, const VmcoreInfo *info,
                            Error **errp)
{
    *layout = (LinuxPageLayout) { 0 };
    return check_release(info, errp) &&
           init_offsets(layout, info, errp) &&
           init_flags(layout, info, errp) &&
           init_types(layout, info, errp) &&
           init_huge(layout, info, errp);
}

/* Decoded members of a struct page. */
typedef struct PageFacts {
    uint64_t flags;
    uint32_t mapcount;
    bool slab, anon, cache, hugetlb;
    unsigned order;             /* of a compound page, if this is its head */
} PageFacts;

/* Compare all bits, as the field may be a map count instead of a type. */
static bool is_type(const PageFacts *f, const LinuxPageType *type)
{
    return type->known && f->mapcount == type->value;
}

static bool is_aligned(uint64_t pfn, unsigned order)
{
    return !(pfn & ((1ULL << order) - 1));
}

static void read_compound(const LinuxPageLayout *l, uint64_t pfn,
                          const uint8_t *next, PageFacts *f)
{
    unsigned order = next[l->order];

    switch (l->huge) {
    case LINUX_PAGE_HUGE_DTOR:
        f->hugetlb = l->hugetlb_dtor && next[l->dtor] == l->hugetlb_dtor;
        break;
    case LINUX_PAGE_HUGE_FLAG:
        f->hugetlb = ldq_le_p(next + l->flags) & l->hugetlb;
        break;
    case LINUX_PAGE_HUGE_TYPE:
        f->hugetlb = is_type(f, &l->hugetlb_type);
        break;
    }
    if (order < LINUX_PAGE_MAX_ORDER && is_aligned(pfn, order)) {
        f->order = order;
    }
}

/*
 * Page cache. PG_swapcache is valid only together with PG_swapbacked, if the
 * kernel has that.
 */
static bool is_cache(const LinuxPageLayout *l, uint64_t flags)
{
    return flags & l->lru ||
           (flags & l->swapcache &&
            (!l->swapbacked || flags & l->swapbacked));
}

/* The class of a page that is not free. */
static PageClass class_of(const LinuxPageLayout *l, unsigned level,
                          const PageFacts *f)
{
    if (level & PAGE_CLASS_BIT(PAGE_CLASS_CACHE) && f->cache && !f->anon &&
        !(f->flags & l->has_private)) {
        return PAGE_CLASS_CACHE;
    }
    if (level & PAGE_CLASS_BIT(PAGE_CLASS_CACHE_PRIVATE) && f->cache &&
        !f->anon) {
        return PAGE_CLASS_CACHE_PRIVATE;
    }
    if (level & PAGE_CLASS_BIT(PAGE_CLASS_USER) && (f->anon || f->hugetlb)) {
        return PAGE_CLASS_USER;
    }
    if (f->flags & l->hwpoison ||
        (!f->slab && is_type(f, &l->offline))) {
        return PAGE_CLASS_UNUSABLE;
    }
    return PAGE_CLASS__MAX;
}

/* Is it the first of a block of free pages? Their order is in page.private. */
static bool is_free(const LinuxPageLayout *l, uint64_t pfn,
                    const uint8_t *page, const PageFacts *f, unsigned *order)
{
    uint64_t free_order = l->nr_orders - 1;

    if (is_type(f, &l->buddy)) {
        free_order = ldq_le_p(page + l->private);
    } else if (!is_type(f, &l->unaccepted)) {
        return false;
    }
    if (free_order >= l->nr_orders || !is_aligned(pfn, free_order)) {
        return false;
    }
    *order = free_order;
    return true;
}

PageClass linux_page_class(const LinuxPageLayout *l, unsigned level,
                           uint64_t pfn, const uint8_t *page,
                           const uint8_t *next, unsigned *order)
{
    PageFacts f = {
        .flags = ldq_le_p(page + l->flags),
        .mapcount = ldl_le_p(page + l->mapcount),
    };

    f.slab = f.flags & l->slab || is_type(&f, &l->slab_type);
    if (ldq_le_p(page + l->head) & LINUX_PAGE_TAIL) {
        return PAGE_CLASS__MAX; /* covered by the head page */
    }
    if (level & PAGE_CLASS_BIT(PAGE_CLASS_FREE) && !f.slab &&
        is_free(l, pfn, page, &f, order)) {
        return PAGE_CLASS_FREE;
    }
    if (next && f.flags & l->compound) {
        read_compound(l, pfn, next, &f);
    }
    f.anon = !f.slab && ldq_le_p(page + l->mapping) & LINUX_PAGE_ANON;
    f.cache = is_cache(l, f.flags);
    *order = f.order;
    return class_of(l, level, &f);
}
