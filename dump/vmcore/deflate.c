/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deflate for pages; see the header. For a few KiB of input, the time is spent
 * on instructions and mispredicted branches, so loops favour redundant work
 * over branches.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "deflate.h"

#define BLOCK           32768   /* bytes per block, and maximum distance */
#define MIN_MATCH       4       /* shorter matches are not searched */
#define MAX_MATCH       258
#define HASH_BITS       13
#define MISSES          64      /* misses after which the step grows */

#define LITLEN_CODES    286     /* RFC 1951, 3.2.5 */
#define END_OF_BLOCK    256
#define LENGTH_CODES    257     /* the first length code */
#define DISTANCE_CODES  30
#define PRECODES        19      /* 3.2.7 */
#define PRECODE_LIMIT   7

/* Enough for four literals or one match, and 7 bits from before. */
#define CODE_LIMIT      12
#define HELD_BITS       56

#define WORD            8       /* bytes read at a time */
/* Bytes that are accessed beyond the input and the literals. */
#define SLACK           32

/* A number of literals, followed by a match. */
typedef struct Step {
    uint16_t literals;
    uint16_t distance;
    uint8_t length;             /* less 3 */
    uint8_t length_code;        /* less LENGTH_CODES */
    uint8_t distance_code;
} Step;

/* A code: its bits are the highest ones, its length is the lowest byte. */
typedef uint64_t Code;

struct DumpDeflate {
    uint16_t latest[1 << HASH_BITS];    /* position in input, by hash */
    uint32_t litlen_count[LITLEN_CODES];
    uint32_t distance_count[DISTANCE_CODES];
    Code litlen[LITLEN_CODES];
    Code distance[DISTANCE_CODES];
    uint8_t length_code[MAX_MATCH - 2]; /* by length - 3 */
    Code length_extra[MAX_MATCH - 2];
    uint8_t input[BLOCK + SLACK];
    uint8_t literals[BLOCK + SLACK];
    Step steps[BLOCK / MIN_MATCH + 1];
    uint16_t reversed[1 << CODE_LIMIT];     /* CODE_LIMIT bits */
    bool has_bmi;               /* the CPU has BMI and BMI2 */
};

static inline Code code_make(uint64_t bits, unsigned n)
{
    return bits << (63 - n) << 1 | n;
}

typedef struct Bits {
    uint64_t held;              /* the highest @n bits, latest on top */
    uint64_t n;                 /* its lowest byte */
    uint8_t *at;
} Bits;

/*
 * Append a code; at most HELD_BITS can be held. The lowest byte of the code is
 * not masked, as it is shifted to bits that are not used.
 */
static inline void put(Bits *b, Code code)
{
    b->held = b->held >> (code & 63) | code;
    b->n += code;
}

/* Write complete bytes, and keep up to 7 bits. Modifies 8 bytes. */
static inline void flush(Bits *b)
{
    unsigned n = b->n & 0xff;

    stq_le_p(b->at, b->held >> 1 >> (63 - n));
    b->at += n >> 3;
    b->n = n & 7;
}

/* Make room for @n bits. */
static inline void make_room(Bits *b, unsigned n)
{
    if ((b->n & 0xff) + n > HELD_BITS) {
        flush(b);
    }
}

/*
 * Sort the symbols with a count by ascending count; returns their number. Most
 * counts are small: these are sorted by counting, the others by insertion.
 */
static unsigned sort_symbols(const uint32_t *count, unsigned n,
                             uint16_t *symbol, uint32_t *weight)
{
    enum { SMALL = 63 };
    uint16_t place[SMALL + 1] = { 0 };
    uint16_t used[LITLEN_CODES + 1];
    unsigned n_used = 0, sum = 0;

    for (unsigned i = 0; i < n; i++) {
        used[n_used] = i;
        n_used += count[i] != 0;
    }
    for (unsigned i = 0; i < n_used; i++) {
        place[MIN(count[used[i]], SMALL)]++;
    }
    for (unsigned i = 0; i <= SMALL; i++) {
        unsigned here = place[i];

        place[i] = sum;
        sum += here;
    }
    n = place[SMALL];
    for (unsigned i = 0; i < n_used; i++) {
        uint32_t c = count[used[i]];
        unsigned k = place[MIN(c, SMALL)]++;

        if (c >= SMALL) {
            for (; k > n && weight[k - 1] > c; k--) {
                weight[k] = weight[k - 1];
                symbol[k] = symbol[k - 1];
            }
        }
        weight[k] = c;
        symbol[k] = used[i];
    }
    return n_used;
}

/*
 * Compute the number of leaves at each depth of the Huffman tree for the @n
 * leaves in @weight (at least 2, lightest first, with room for one more). No
 * leaf is deeper than @limit. @depths is initialized with zeroes.
 */
static void count_depths(uint32_t *weight, unsigned n, unsigned limit,
                         unsigned *depths)
{
    uint32_t inner[LITLEN_CODES + 1];
    uint16_t parent[LITLEN_CODES];
    uint8_t depth[LITLEN_CODES];
    unsigned inner_at[64] = { 0 };
    unsigned leaf = 0, node = 0;
    uint32_t space = 0;

    /*
     * Nodes are created in the order of their weight, so the two lightest
     * ones are always among the next leaves and the next nodes.
     */
    weight[n] = UINT32_MAX;
    inner[0] = UINT32_MAX;
    for (unsigned i = 0; i < n - 1; i++) {
        uint32_t sum = 0;

        for (int child = 0; child < 2; child++) {
            bool is_leaf = weight[leaf] <= inner[node];

            sum += MIN(weight[leaf], inner[node]);
            parent[node] = i;           /* kept if the node is used */
            leaf += is_leaf;
            node += !is_leaf;
        }
        inner[i] = sum;
        inner[i + 1] = UINT32_MAX;
    }
    depth[n - 2] = 0;
    inner_at[0] = 1;
    for (int i = (int)n - 3; i >= 0; i--) {
        depth[i] = depth[parent[i]] + 1;
        inner_at[depth[i]]++;
    }
    for (unsigned d = 1; inner_at[d - 1]; d++) {
        depths[MIN(d, limit)] += 2 * inner_at[d - 1] - inner_at[d];
    }

    /*
     * Leaves that were limited exceed the code space: each time, a leaf of a
     * higher level is moved down, and one of them becomes its sibling.
     */
    for (unsigned d = 1; d <= limit; d++) {
        space += depths[d] << (limit - d);
    }
    for (; space > 1u << limit; space--) {
        unsigned d = limit - 1;

        while (!depths[d]) {
            d--;
        }
        depths[d]--;
        depths[d + 1] += 2;
        depths[limit]--;
    }
}

/* The code lengths of an alphabet. */
typedef struct Lengths {
    uint8_t of[LITLEN_CODES];           /* by symbol; 0 if it has no code */
    unsigned codes[CODE_LIMIT + 1];     /* number of codes, by length */
    uint64_t bits;                      /* total for all counted symbols */
} Lengths;

static void choose_lengths(const uint32_t *count, unsigned n, unsigned limit,
                           Lengths *lengths)
{
    uint16_t symbol[LITLEN_CODES];
    uint32_t weight[LITLEN_CODES + 1];
    unsigned used = sort_symbols(count, n, symbol, weight), at = 0;

    assert(used >= 2);
    memset(lengths, 0, sizeof(*lengths));
    count_depths(weight, used, limit, lengths->codes);
    for (unsigned length = limit; length > 0; length--) {
        for (unsigned i = 0; i < lengths->codes[length]; i++, at++) {
            lengths->of[symbol[at]] = length;
            lengths->bits += length * weight[at];
        }
    }
}

/* Assign canonical codes (3.2.2) to all @n symbols. */
static void make_codes(const DumpDeflate *s, const Lengths *lengths,
                       unsigned n, Code *codes)
{
    unsigned next[CODE_LIMIT + 1] = { 0 };

    for (unsigned i = 1; i <= CODE_LIMIT; i++) {
        next[i] = (next[i - 1] + lengths->codes[i - 1]) << 1;
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned length = lengths->of[i];

        /* Codes are sent starting with their highest bit: reverse them. */
        codes[i] = (uint64_t)s->reversed[next[length]] << (64 - CODE_LIMIT) |
                   length;
        next[length] += length > 0;
    }
}

static inline unsigned hash(uint32_t v)
{
    return v * 0x9e3779b1u >> (32 - HASH_BITS);
}

/*
 * Length of the match at @a and @b, of which @b is the later one; at least
 * MIN_MATCH. A word can be read after that. The match ends at @end or before.
 */
static inline size_t match_length(const uint8_t *a, const uint8_t *b,
                                  const uint8_t *end)
{
    size_t n = MIN_MATCH, most = MIN(end - b, MAX_MATCH);
    uint64_t diff = ldq_le_p(a + n) ^ ldq_le_p(b + n);

    while (unlikely(!diff)) {
        n += WORD;
        if (n + WORD > most) {
            while (n < most && a[n] == b[n]) {
                n++;
            }
            return n;
        }
        diff = ldq_le_p(a + n) ^ ldq_le_p(b + n);
    }
    return n + (ctz64(diff) >> 3);
}

/* 3.2.5: two codes for each power of two. */
static inline unsigned distance_code(unsigned distance)
{
    unsigned x = distance - 1, log;

    if (x < 2) {
        return x;
    }
    log = 31 - clz32(x);
    return 2 * log + (x >> (log - 1) & 1);
}

/* Copy @n bytes, but at least SLACK. */
static inline void copy_literals(uint8_t *dst, const uint8_t *src, size_t n)
{
    memcpy(dst, src, SLACK);
    if (unlikely(n > SLACK)) {
        memcpy(dst + SLACK, src + SLACK, n - SLACK);
    }
}

static void count_literals(uint32_t *count, const uint8_t *p, size_t n)
{
    uint32_t odd[256] = { 0 };  /* a second table, for repeated bytes */
    size_t i;

    for (i = 0; i + 1 < n; i += 2) {
        count[p[i]]++;
        odd[p[i + 1]]++;
    }
    if (i < n) {
        odd[p[i]]++;
    }
    for (i = 0; i < 256; i++) {
        count[i] += odd[i];
    }
}

static inline void remember(DumpDeflate *s, size_t i)
{
    s->latest[hash(ldl_le_p(s->input + i))] = i;
}

/*
 * Find a position from @i on, before @last, whose bytes also occur earlier, at
 * *@from. All positions examined are recorded. The longer the search fails, the
 * more positions are skipped.
 */
static inline size_t find_match(DumpDeflate *s, size_t i, size_t last,
                                size_t *from)
{
    for (size_t step = 1; i < last; step++) {
        size_t stop = MIN(i + step * MISSES, last);

        for (; i < stop; i += step) {
            uint32_t word = ldl_le_p(s->input + i);
            uint16_t *latest = &s->latest[hash(word)];

            /* Entries never set are 0, which is a valid candidate, too. */
            *from = *latest;
            *latest = i;
            if ((uint32_t)ldl_le_p(s->input + *from) == word) {
                return i;
            }
        }
    }
    return last;
}

/*
 * Set steps, literals and counts for the first @len bytes of input. Returns the
 * number of steps; of the step after these, only the literals are set.
 */
static unsigned parse(DumpDeflate *s, size_t len)
{
    const uint8_t *input = s->input;
    /* No match starts at or after this position: see match_length. */
    size_t last = len > MIN_MATCH + WORD ? len - MIN_MATCH - WORD : 0;
    size_t first = 0, i = 1, from;
    uint8_t *literals = s->literals;
    Step *step = s->steps;

    memset(s->latest, 0, sizeof(s->latest));
    memset(s->litlen_count, 0, sizeof(s->litlen_count));
    memset(s->distance_count, 0, sizeof(s->distance_count));
    while ((i = find_match(s, i, last, &from)) < last) {
        size_t length = match_length(input + from, input + i, input + len);

        step->literals = i - first;
        step->distance = i - from;
        step->length = length - 3;
        step->length_code = s->length_code[length - 3];
        step->distance_code = distance_code(i - from);
        s->litlen_count[LENGTH_CODES + step->length_code]++;
        s->distance_count[step->distance_code]++;
        copy_literals(literals, input + first, i - first);
        literals += i - first;
        step++;

        i += length;
        first = i;
        remember(s, i - 3);
        remember(s, i - 2);
        remember(s, i - 1);
    }
    step->literals = len - first;
    memcpy(literals, input + first, len - first);
    literals += len - first;
    count_literals(s->litlen_count, s->literals, literals - s->literals);
    s->litlen_count[END_OF_BLOCK] = 1;
    return step - s->steps;
}

/* Encoded code lengths: see 3.2.7 for the symbols 16 to 18. */
typedef struct Precodes {
    unsigned n;
    uint8_t symbol[LITLEN_CODES + DISTANCE_CODES];
    uint8_t extra[LITLEN_CODES + DISTANCE_CODES];
    uint32_t count[PRECODES];
} Precodes;

static inline void add_precode(Precodes *p, unsigned symbol, unsigned extra)
{
    p->symbol[p->n] = symbol;
    p->extra[p->n++] = extra;
    p->count[symbol]++;
}

/* Encode @run code lengths of @value. */
static void add_run(Precodes *p, unsigned value, unsigned run)
{
    unsigned part;

    if (value) {
        add_precode(p, value, 0);
        for (run--; run >= 3; run -= part) {
            part = MIN(run, 6);
            add_precode(p, 16, part - 3);
        }
    } else {
        for (; run >= 11; run -= part) {
            part = MIN(run, 138);
            add_precode(p, 18, part - 11);
        }
        if (run >= 3) {
            add_precode(p, 17, run - 3);
            run = 0;
        }
    }
    while (run--) {
        add_precode(p, value, 0);
    }
}

/*
 * Encode @n lengths. @p is initialized with zeroes. Two elements after the end
 * of @lengths can be read.
 */
static void make_precodes(const uint8_t *lengths, unsigned n, Precodes *p)
{
    unsigned run;

    for (unsigned i = 0; i < n; i += run) {
        unsigned value = lengths[i];

        run = 1;
        if (likely((value ^ lengths[i + 1]) | (value ^ lengths[i + 2]))) {
            add_precode(p, value, 0);
            continue;
        }
        while (i + run < n && lengths[i + run] == value) {
            run++;
        }
        add_run(p, value, run);
    }
}

static unsigned trim(const uint8_t *lengths, unsigned n, unsigned least)
{
    while (n > least && !lengths[n - 1]) {
        n--;
    }
    return n;
}

/* Write the code lengths of a block (3.2.7). */
static void put_header(Bits *b, const DumpDeflate *s, bool final,
                       const Lengths *litlen, unsigned n_litlen,
                       const Lengths *distance, unsigned n_distance)
{
    static const uint8_t order[PRECODES] = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15
    };
    static const uint8_t extra_bits[PRECODES] = {
        [16] = 2, [17] = 3, [18] = 7
    };
    uint8_t lengths[LITLEN_CODES + DISTANCE_CODES + 2];
    uint8_t ordered[PRECODES];
    Precodes p = { 0 };
    Lengths precode;
    Code codes[PRECODES];
    unsigned n = n_litlen + n_distance;

    memcpy(lengths, litlen->of, n_litlen);
    memcpy(lengths + n_litlen, distance->of, n_distance);
    lengths[n] = lengths[n + 1] = 0;
    make_precodes(lengths, n, &p);
    choose_lengths(p.count, PRECODES, PRECODE_LIMIT, &precode);
    make_codes(s, &precode, PRECODES, codes);
    for (n = 0; n < PRECODES; n++) {
        ordered[n] = precode.of[order[n]];
    }
    n = trim(ordered, PRECODES, 4);

    put(b, code_make(final | 2 << 1, 3));
    put(b, code_make(n_litlen - 257, 5));
    put(b, code_make(n_distance - 1, 5));
    put(b, code_make(n - 4, 4));
    flush(b);
    for (unsigned i = 0; i < n; i++) {
        put(b, code_make(ordered[i], 3));
        make_room(b, 3);
    }
    flush(b);
    for (unsigned i = 0; i < p.n; i++) {
        put(b, codes[p.symbol[i]]);
        if (p.symbol[i] > 15) {
            put(b, code_make(p.extra[i], extra_bits[p.symbol[i]]));
        }
        make_room(b, 2 * PRECODE_LIMIT);
    }
    flush(b);
}

/* The code, or one with no bits. */
static inline Code code_if(bool wanted, Code code)
{
    return code & -(Code)wanted;
}

static void put_steps(Bits *bits, const DumpDeflate *s, unsigned n)
{
    const uint8_t *p = s->literals;
    Bits b = *bits;             /* in registers */

    for (const Step *step = s->steps; ; step++) {
        int left = step->literals;
        unsigned code;

        for (; left > 4; left -= 4, p += 4) {
            put(&b, s->litlen[p[0]]);
            put(&b, s->litlen[p[1]]);
            put(&b, s->litlen[p[2]]);
            put(&b, s->litlen[p[3]]);
            flush(&b);
        }
        put(&b, code_if(left > 0, s->litlen[p[0]]));
        put(&b, code_if(left > 1, s->litlen[p[1]]));
        put(&b, code_if(left > 2, s->litlen[p[2]]));
        put(&b, code_if(left > 3, s->litlen[p[3]]));
        flush(&b);
        p += left;
        if (step == s->steps + n) {
            break;
        }
        put(&b, s->litlen[LENGTH_CODES + step->length_code]);
        put(&b, s->length_extra[step->length]);
        code = step->distance_code;
        put(&b, s->distance[code]);
        put(&b, code_make(step->distance - 1, code < 4 ? 0 : code / 2 - 1));
        flush(&b);
    }
    put(&b, s->litlen[END_OF_BLOCK]);
    flush(&b);
    *bits = b;
}

/* Some decoders accept only complete codes, which need two symbols. */
static void complete_distances(uint32_t *count)
{
    unsigned used = 0;

    for (unsigned i = 0; i < DISTANCE_CODES; i++) {
        used += count[i] != 0;
    }
    for (unsigned i = 0; used < 2; i++) {
        used += !count[i];
        count[i] = MAX(count[i], 1);
    }
}

static void put_dynamic(Bits *b, DumpDeflate *s, unsigned n_steps,
                        const Lengths *litlen, bool final)
{
    unsigned n_litlen = trim(litlen->of, LITLEN_CODES, END_OF_BLOCK + 1);
    unsigned n_distance;
    Lengths distance;

    complete_distances(s->distance_count);
    choose_lengths(s->distance_count, DISTANCE_CODES, CODE_LIMIT, &distance);
    n_distance = trim(distance.of, DISTANCE_CODES, 1);
    make_codes(s, litlen, n_litlen, s->litlen);
    make_codes(s, &distance, n_distance, s->distance);
    put_header(b, s, final, litlen, n_litlen, &distance, n_distance);
    put_steps(b, s, n_steps);
}

/* 3.2.4 */
static void put_stored(Bits *b, const uint8_t *src, size_t len, bool final)
{
    put(b, code_make(final, 3));
    put(b, code_make(0, -b->n & 7));
    flush(b);
    stw_le_p(b->at, len);
    stw_le_p(b->at + 2, ~len);
    memcpy(b->at + 4, src, len);
    b->at += 4 + len;
}

/* Compress the first @len bytes of s->input to a block. */
static void put_block(Bits *b, DumpDeflate *s, size_t len, bool final)
{
    unsigned n_steps = parse(s, len);
    Lengths litlen;

    choose_lengths(s->litlen_count, LITLEN_CODES, CODE_LIMIT, &litlen);
    /* If less than 1/64 is saved, store the block, which is faster to read. */
    if (litlen.bits < 8 * len - len / 8) {
        put_dynamic(b, s, n_steps, &litlen, final);
    } else {
        put_stored(b, s->input, len, final);
    }
}

/*
 * Adler-32 (RFC 1950, 8.2) of up to BLOCK more bytes, eight at a time, in two
 * words of four 16-bit sums. The second sum is accumulated per word and
 * corrected at the end.
 */
static uint32_t adler32_add(uint32_t adler, const uint8_t *p, size_t len)
{
    const uint64_t lanes = 0x00ff00ff00ff00ff, ones = 0x0001000100010001;
    uint64_t a = adler & 0xffff, b = adler >> 16;

    for (; len >= 64; len -= 64) {
        uint64_t even = 0, odd = 0, earlier = 0;

        for (int i = 0; i < 8; i += 2, p += 2 * WORD) {
            uint64_t one = ldq_le_p(p), two = ldq_le_p(p + WORD);

            earlier += even + odd;
            even += one & lanes;
            odd += one >> 8 & lanes;
            earlier += even + odd;
            even += two & lanes;
            odd += two >> 8 & lanes;
        }
        b += 64 * a + 8 * (earlier * ones >> 48) +
             (even * 0x0008000600040002 >> 48) +
             (odd * 0x0007000500030001 >> 48);
        a += (even + odd) * ones >> 48;
    }
    while (len--) {
        a += *p++;
        b += a;
    }
    return b % 65521 << 16 | a % 65521;
}

static void make_tables(DumpDeflate *s)
{
    unsigned code = 0, length = 0;

    /* 3.2.5: eight codes without extra bits, then four with 1, 2, ... each. */
    for (; length < MAX_MATCH - 3; code++) {
        unsigned extra = code < 8 ? 0 : code / 4 - 1;

        for (unsigned i = 0; i < 1u << extra && length < MAX_MATCH - 3; i++) {
            s->length_code[length] = code;
            s->length_extra[length++] = code_make(i, extra);
        }
    }
    s->length_code[length] = code;      /* the longest has its own */
    for (unsigned i = 0; i < ARRAY_SIZE(s->reversed); i++) {
        s->reversed[i] = revbit16(i) >> (16 - CODE_LIMIT);
    }
}

DumpDeflate *dump_deflate_new(void)
{
    DumpDeflate *s = g_try_new0(DumpDeflate, 1);

    if (!s) {
        return NULL;
    }
    make_tables(s);
#ifdef HOST_X86_64
    s->has_bmi = __builtin_cpu_supports("bmi") &&
                 __builtin_cpu_supports("bmi2");
#endif
    return s;
}

void dump_deflate_free(DumpDeflate *s)
{
    g_free(s);
}

/*
 * The codes of literals and lengths take less than the input, or the block
 * is stored. Distances and extra bits add less than 32 bits to each match,
 * which is of 4 bytes at least. The head of a block has less than 640 bytes.
 */
size_t dump_deflate_bound(size_t len)
{
    return 2 * len + (len / BLOCK + 1) * 640 + 2 * WORD;
}

static size_t make_stream(DumpDeflate *s, const uint8_t *src, size_t len,
                          uint8_t *dst)
{
    Bits b = { .at = dst + 2 };
    uint32_t adler = 1;
    size_t n;

    stw_be_p(dst, 0x7801);              /* 32 KiB window, fastest */
    for (size_t done = 0; done < len; done += n) {
        n = MIN(len - done, BLOCK);
        memcpy(s->input, src + done, n);
        put_block(&b, s, n, done + n == len);
        if (b.at + 4 - dst >= len) {
            return 0;
        }
        adler = adler32_add(adler, s->input, n);
    }
    put(&b, code_make(0, -b.n & 7));
    flush(&b);
    stl_be_p(b.at, adler);
    n = b.at + 4 - dst;
    return n < len ? n : 0;
}

#ifdef HOST_X86_64
/* The same, with instructions that shift by any register. */
__attribute__((flatten, target("bmi,bmi2")))
static size_t make_stream_bmi(DumpDeflate *s, const uint8_t *src,
                              size_t len, uint8_t *dst)
{
    return make_stream(s, src, len, dst);
}
#endif

size_t dump_deflate_zlib(DumpDeflate *s, const uint8_t *src, size_t len,
                         uint8_t *dst)
{
#ifdef HOST_X86_64
    if (s->has_bmi) {
        return make_stream_bmi(s, src, len, dst);
    }
#endif
    return make_stream(s, src, len, dst);
}
