/* Masks for one instruction set. A vector `vec` holds LANES 64-bit lanes, and GROUPS
 * vectors are in flight to hide the multiplier's latency. The file that includes this
 * has defined vec and the few operations v_* on it.
 *
 * Philox keeps each 32-bit word in the low half of a lane. The widening multiply
 * reads low halves only, so the high ones may hold anything, and nothing is
 * shuffled until the end.
 *
 * Three layouts, by what there is to do. A threshold of few bits: a vector holds
 * blocks, and the groups are blocks too. Any other: the groups are rounds of the
 * same blocks, which then share most of Philox's first three rounds; blocks that are
 * still undecided queue for each further round until they fill all vectors. A few
 * blocks left over: the lanes are rounds of one block. */

#define BATCH ((size_t)GROUPS * LANES)
/* Rounds before blocks queue: until then nearly all are open. About 8, a multiple of GROUPS. */
#define ROUNDS_TOGETHER ((7 + GROUPS) / GROUPS * GROUPS)
/* Rounds that have queues: one block in 500 is open after 16, and is begun anew. */
#define ROUNDS_QUEUED 8

/* Some blocks' 128 bits: words 0 and 1, words 2 and 3. */
typedef struct pair {
    vec low, high;
} pair;

/* Philox's four words for GROUPS vectors. */
typedef struct philox {
    vec c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
} philox;

/* A stream whose keys for Philox's rounds stand in memory: a vector is filled from there
 * by a load alone, from a register by arithmetic units. */
typedef struct source {
    uint64_t key0[10], key1[10];
    uint64_t stream;
    uint32_t threshold;
} source;

static inline source source_of(const fd_stream *s) {
    source from = {.stream = s->stream, .threshold = (uint32_t)s->threshold};
    for (uint32_t i = 0; i < 10; i++) {
        from.key0[i] = s->k0 + i * FD_PHILOX_W0;
        from.key1[i] = s->k1 + i * FD_PHILOX_W1;
    }
    return from;
}

static inline uint32_t high32(uint64_t a) { return (uint32_t)(a >> 32); }
static inline uint32_t low32(uint64_t a) { return (uint32_t)a; }

/* The rounds 3 to 9, counted from 0, and the words put together. Not unrolled, or the
 * compilers keep keys in registers and the words in memory. */
static inline void philox_finish(pair u[GROUPS], philox *p, const source *s) {
    const vec m0 = v_all(FD_PHILOX_M0), m1 = v_all(FD_PHILOX_M1);
    FD_NO_UNROLL
    for (int i = 3; i < 9; i++) {
        const vec key0 = v_all(s->key0[i]), key1 = v_all(s->key1[i]);
        for (int g = 0; g < GROUPS; g++) {
            const vec p0 = v_multiply_low(m0, p->c0[g]), p1 = v_multiply_low(m1, p->c2[g]);
            p->c0[g] = v_xor3(v_high(p1), p->c1[g], key0);
            p->c1[g] = p1;
            p->c2[g] = v_xor3(v_high(p0), p->c3[g], key1);
            p->c3[g] = p0;
        }
    }
    const vec key0 = v_all(s->key0[9]), key1 = v_all(s->key1[9]);
    for (int g = 0; g < GROUPS; g++) {
        const vec p0 = v_multiply_low(m0, p->c0[g]), p1 = v_multiply_low(m1, p->c2[g]);
        u[g].low = v_join_last(p1, p->c1[g], key0);
        u[g].high = v_join_last(p0, p->c3[g], key1);
    }
}

/* u[g]: round[g] of the blocks whose numbers have the low words n[g] and the same high
 * word. Only n varies over the lanes, so half of the first three rounds is scalar; and
 * where n[g] or round[g] are equal the compiler computes what they share once. */
static inline void hash(pair u[GROUPS], const vec n[GROUPS], uint32_t high,
                        const uint32_t round[GROUPS], const source *s) {
    const vec m0 = v_all(FD_PHILOX_M0), m1 = v_all(FD_PHILOX_M1);
    const uint64_t a1 = (uint64_t)FD_PHILOX_M1 * low32(s->stream);
    philox p;
    for (int g = 0; g < GROUPS; g++) {
        const uint32_t b0 = high32(a1) ^ (high | round[g] << 24) ^ (uint32_t)s->key0[0];
        const uint64_t b = (uint64_t)FD_PHILOX_M0 * b0;
        const vec p0 = v_multiply_low(m0, n[g]);
        const vec c2 = v_xor(v_high(p0), v_all(high32(s->stream) ^ s->key1[0]));
        const vec p1 = v_multiply_low(m1, c2);
        const vec d0 = v_xor(v_high(p1), v_all(low32(a1) ^ s->key0[1]));
        const vec d2 = v_xor(p0, v_all(high32(b) ^ s->key1[1]));
        const vec q0 = v_multiply_low(m0, d0), q1 = v_multiply_low(m1, d2);
        p.c0[g] = v_xor(v_high(q1), v_xor(p1, v_all(s->key0[2])));
        p.c1[g] = q1;
        p.c2[g] = v_xor(v_high(q0), v_all(low32(b) ^ s->key1[2]));
        p.c3[g] = q0;
    }
    philox_finish(u, &p, s);
}

/* One round of the comparison. Lanes that are `open` equal the threshold so far: a 0
 * for its 1 is below it, and what differs is decided. */
static inline void compare(pair *event, pair *open, pair u, uint32_t bit) {
    if (bit) {
        event->low = v_or(event->low, v_without(open->low, u.low));
        event->high = v_or(event->high, v_without(open->high, u.high));
        open->low = v_and(open->low, u.low);
        open->high = v_and(open->high, u.high);
    } else {
        open->low = v_without(open->low, u.low);
        open->high = v_without(open->high, u.high);
    }
}

#define NO_BITS ((pair){v_all(0), v_all(0)})
#define ALL_BITS ((pair){v_all(~(uint64_t)0), v_all(~(uint64_t)0)})

/* BATCH blocks from number first on, for a threshold of few bits. */
static inline void few_rounds(uint8_t *out, const source *s, uint64_t first) {
    vec n[GROUPS];
    pair event[GROUPS], open[GROUPS], u[GROUPS];
    uint32_t round[GROUPS] = {0};
    for (int g = 0; g < GROUPS; g++) {
        n[g] = v_count_from(first + (uint64_t)(g * LANES));
        event[g] = NO_BITS;
        open[g] = ALL_BITS;
    }
    for (uint32_t rest = s->threshold; rest; rest <<= 1) {
        hash(u, n, high32(first), round, s);
        for (int g = 0; g < GROUPS; g++) {
            compare(&event[g], &open[g], u[g], rest >> 31);
            round[g]++;
        }
    }
    for (int g = 0; g < GROUPS; g++)
        v_store_blocks(out + 16 * LANES * g, event[g].low, event[g].high);
}

/* Blocks that are not decided yet: their places behind the first, and the bits still open.
 * Fewer than BATCH wait when up to BATCH come. */
typedef struct queue {
    uint64_t place[2 * BATCH], low[2 * BATCH], high[2 * BATCH];
    size_t count;
} queue;

static inline void enqueue(queue *q, vec place, pair open) {
    const unsigned lanes = v_nonzero(v_or(open.low, open.high));
    v_store_packed(q->place + q->count, place, lanes);
    v_store_packed(q->low + q->count, open.low, lanes);
    v_store_packed(q->high + q->count, open.high, lanes);
    q->count += count_of(lanes);
}

/* The first ROUNDS_TOGETHER rounds of the LANES blocks at a place. */
static inline void many_rounds(uint8_t *out, queue *q, const source *s, uint64_t first,
                               size_t place) {
    const vec at = v_count_from(first + place);
    pair event = NO_BITS, open = ALL_BITS, u[GROUPS];
    vec n[GROUPS];
    uint32_t round[GROUPS], rest = s->threshold;
    for (int g = 0; g < GROUPS; g++)
        n[g] = at;
    for (uint32_t r = 0; r < ROUNDS_TOGETHER; r += GROUPS) {
        for (uint32_t g = 0; g < GROUPS; g++)
            round[g] = r + g;
        hash(u, n, high32(first), round, s);
        for (int g = 0; g < GROUPS; g++, rest <<= 1)
            compare(&event, &open, u[g], rest >> 31);
    }
    v_store_blocks(out + 16 * place, event.low, event.high);
    enqueue(q, v_count_from(place), open);
}

/* Round r for up to BATCH blocks from the end of their queue; the next round's queue
 * stands behind it. */
static inline void one_round(uint8_t *out, queue *q, const source *s, uint64_t first,
                             uint32_t r) {
    const size_t begin = q->count > BATCH ? q->count - BATCH : 0;
    const uint32_t bit = s->threshold << r >> 31;
    vec place[GROUPS], n[GROUPS];
    pair event[GROUPS], open[GROUPS], u[GROUPS];
    uint32_t round[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        const size_t i = begin + (size_t)(g * LANES), left = q->count > i ? q->count - i : 0;
        const unsigned lanes = left < LANES ? (1u << left) - 1 : (1u << LANES) - 1;
        place[g] = v_load(q->place + i, lanes);
        n[g] = v_add(v_all(low32(first)), place[g]);
        event[g] = NO_BITS;
        open[g] = (pair){v_load(q->low + i, lanes), v_load(q->high + i, lanes)};
        round[g] = r;
    }
    hash(u, n, high32(first), round, s);
    for (int g = 0; g < GROUPS; g++)
        compare(&event[g], &open[g], u[g], bit);
    if (bit) {
        uint8_t found[16 * BATCH];
        for (int g = 0; g < GROUPS; g++)
            v_store_blocks(found + 16 * LANES * g, event[g].low, event[g].high);
        for (size_t j = 0; j < q->count - begin; j++)
            or_block(out + 16 * q->place[begin + j], found + 16 * j);
    }
    q->count = begin;
    if (s->threshold << r << 1) /* or nothing that is still equal can be below it */
        for (int g = 0; g < GROUPS; g++)
            enqueue(q + 1, place[g], open[g]);
}

/* One block, with rounds in the lanes: the fastest start for few elements. Only the
 * round varies over the lanes, so here too half of the first rounds is scalar. */
static inline void one_block(uint8_t *out, const source *s, uint64_t number) {
    const vec m0 = v_all(FD_PHILOX_M0), m1 = v_all(FD_PHILOX_M1);
    const uint64_t a0 = (uint64_t)FD_PHILOX_M0 * low32(number);
    const uint64_t a1 = (uint64_t)FD_PHILOX_M1 * low32(s->stream);
    const uint64_t b1 = (uint64_t)FD_PHILOX_M1 * (high32(a0) ^ high32(s->stream) ^ s->key1[0]);
    const uint32_t d0 = high32(b1) ^ low32(a1) ^ (uint32_t)s->key0[1];
    const uint64_t e0 = (uint64_t)FD_PHILOX_M0 * d0;
    uint64_t event[2] = {0, 0}, open[2] = {~(uint64_t)0, ~(uint64_t)0};
    uint32_t rest = s->threshold;
    for (uint32_t r = 0; rest && (open[0] | open[1]); r += BATCH) {
        philox p;
        pair u[GROUPS];
        for (int g = 0; g < GROUPS; g++) {
            const vec round = v_shift_left_24(v_count_from(r + (uint64_t)(g * LANES)));
            const vec c0 = v_xor(round, v_all(high32(a1) ^ high32(number) ^ s->key0[0]));
            const vec p0 = v_multiply_low(m0, c0);
            const vec c2 = v_xor(v_high(p0), v_all(low32(a0) ^ s->key1[1]));
            const vec q1 = v_multiply_low(m1, c2);
            p.c0[g] = v_xor(v_high(q1), v_all(low32(b1) ^ s->key0[2]));
            p.c1[g] = q1;
            p.c2[g] = v_xor(p0, v_all(high32(e0) ^ s->key1[2]));
            p.c3[g] = v_all(low32(e0));
        }
        philox_finish(u, &p, s);
        uint8_t rounds[16 * BATCH];
        for (int g = 0; g < GROUPS; g++)
            v_store_blocks(rounds + 16 * LANES * g, u[g].low, u[g].high);
        for (size_t j = 0; rest && (open[0] | open[1]) && j < BATCH; j++, rest <<= 1) {
            uint64_t word[2];
            memcpy(word, rounds + 16 * j, 16);
            for (int half = 0; half < 2; half++) {
                if (rest >> 31)
                    event[half] |= open[half] & ~word[half];
                open[half] &= rest >> 31 ? word[half] : ~word[half];
            }
        }
    }
    memcpy(out, event, 16);
}

static inline void begin_anew(uint8_t *out, queue *q, const source *s, uint64_t first) {
    for (; q->count; q->count--) {
        const uint64_t place = q->place[q->count - 1];
        one_block(out + 16 * place, s, first + place);
    }
}

/* Rounds for the queues from number i on, for as long as one of them fills all vectors. */
static inline void serve(uint8_t *out, queue *queues, const source *s, uint64_t first,
                         uint32_t i) {
    for (; i < ROUNDS_QUEUED && queues[i].count >= BATCH; i++)
        one_round(out, queues + i, s, first, ROUNDS_TOGETHER + i);
    begin_anew(out, queues + ROUNDS_QUEUED, s, first);
}

/* Blocks whose numbers have one high word. */
static void mask_run(uint8_t *out, const source *s, uint64_t first, size_t blocks) {
    size_t place = 0;
    if (s->threshold << ROUNDS_TOGETHER == 0) {
        for (; place + BATCH <= blocks; place += BATCH)
            few_rounds(out + 16 * place, s, first + place);
        if (place < blocks) {
            uint8_t whole[16 * BATCH];
            few_rounds(whole, s, first + place);
            memcpy(out + 16 * place, whole, 16 * (blocks - place));
        }
        return;
    }
    queue queues[ROUNDS_QUEUED + 1];
    for (int i = 0; i <= ROUNDS_QUEUED; i++)
        queues[i].count = 0;
    for (; place + LANES <= blocks; place += LANES) {
        many_rounds(out, queues, s, first, place);
        serve(out, queues, s, first, 0);
    }
    for (uint32_t i = 0; i < ROUNDS_QUEUED; i++) {
        if (queues[i].count > LANES / 2) { /* what is left fills few lanes, but is quick */
            one_round(out, queues + i, s, first, ROUNDS_TOGETHER + i);
            serve(out, queues, s, first, i + 1);
        }
        begin_anew(out, queues + i, s, first);
    }
    for (; place < blocks; place++)
        one_block(out + 16 * place, s, first + place);
}

static void mask_blocks(uint8_t *out, const fd_stream *stream, uint64_t first, size_t blocks) {
    const source s = source_of(stream);
    while (blocks) {
        const uint64_t left = ((uint64_t)1 << 32) - low32(first);
        const size_t n = blocks < left ? blocks : (size_t)left;
        mask_run(out, &s, first, n);
        out += 16 * n;
        first += n;
        blocks -= n;
    }
}

/* One round of many blocks as it is. */
static void philox_blocks(uint64_t *out, const fd_stream *stream, uint32_t round, uint64_t first,
                          size_t blocks) {
    const source s = source_of(stream);
    uint32_t rounds[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        rounds[g] = round;
    for (size_t done = 0, count; done < blocks; done += count) {
        const uint64_t number = first + done, left = ((uint64_t)1 << 32) - low32(number);
        uint8_t some[16 * BATCH];
        vec n[GROUPS];
        pair u[GROUPS];
        for (int g = 0; g < GROUPS; g++)
            n[g] = v_count_from(number + (uint64_t)(g * LANES));
        hash(u, n, high32(number), rounds, &s);
        for (int g = 0; g < GROUPS; g++)
            v_store_blocks(some + 16 * LANES * g, u[g].low, u[g].high);
        count = blocks - done < BATCH ? blocks - done : BATCH;
        if (left < count) /* one high word at a time */
            count = (size_t)left;
        memcpy(out + 2 * done, some, 16 * count);
    }
}

#undef BATCH
#undef ROUNDS_TOGETHER
#undef ROUNDS_QUEUED
#undef LANES
#undef GROUPS
