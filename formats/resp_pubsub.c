/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publish and subscribe, and MONITOR: which of what the server sends answers a request.
 *
 * RESP3 marks messages (">"), but confirmations of SUBSCRIBE too. RESP2 marks nothing: there a message is an array that begins with
 * a word. So arrays are looked at where a message may come: after the first SUBSCRIBE, or when nothing was asked for.
 *
 * A request with several channels gets a confirmation for each; UNSUBSCRIBE without arguments one for each channel that there was,
 * so the counts in the confirmations tell which is the last. A request that is queued (MULTI) or refused gets one reply of
 * another kind instead. Confirmations and replies come in the order of the requests.
 */
#include "resp.h"

enum resp_word resp_word(const char *text, size_t n)
{
    static const struct {
        const char *text;
        enum resp_word word;
    } words[] = {
        {"message", WORD_MESSAGE},
        {"pmessage", WORD_MESSAGE},
        {"smessage", WORD_MESSAGE},
        {"subscribe", WORD_SUBSCRIBED},
        {"unsubscribe", WORD_SUBSCRIBED},
        {"psubscribe", WORD_SUBSCRIBED_PATTERN},
        {"punsubscribe", WORD_SUBSCRIBED_PATTERN},
        {"ssubscribe", WORD_SUBSCRIBED_SHARD},
        {"sunsubscribe", WORD_SUBSCRIBED_SHARD},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].text) == n && memcmp(words[i].text, text, n) == 0)
            return words[i].word;
    return WORD_NONE;
}

static bool nothing_pending(const struct resp *r) { return (int32_t)(r->requests - r->replies) <= 0; }

bool resp_awaits(struct resp *r)
{
    bool bare = r->command.row->special == RESP_UNSUBSCRIBES && r->command.total == 1;

    r->odd = true;
    if (!r->watch && !r->watch_from)
        r->watch_from = r->requests;
    if (!bare && r->command.total <= 2)
        return true;
    if (r->awaited_count == RESP_AWAITED_MAX)
        return false;
    r->awaited[r->awaited_count++] = (struct resp_awaited){r->requests, bare ? 0 : r->command.total - 1};
    return true;
}

bool resp_watching(struct resp *r)
{
    if (r->watch_from && (int32_t)(r->replies + 1 - r->watch_from) >= 0) {
        r->watch = true;
        r->watch_from = 0;
    }
    return r->watch || nothing_pending(r);
}

static struct resp_awaited *awaited_now(struct resp *r)
{
    return r->awaited_count && r->awaited[0].number == r->replies + 1 ? r->awaited : NULL;
}

/* Those of the kind that are left. Channels and patterns are told as one sum. */
static uint64_t subscriptions_left(struct resp *r, enum resp_word word, uint64_t sum)
{
    uint32_t most = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;

    if (word == WORD_SUBSCRIBED_SHARD)
        return sum;
    uint32_t *its = word == WORD_SUBSCRIBED ? &r->channels : &r->patterns;
    uint32_t others = word == WORD_SUBSCRIBED ? r->patterns : r->channels;
    *its = most > others ? most - others : 0;
    return *its;
}

bool resp_confirmed(struct resp *r, enum resp_word word, uint64_t subscriptions)
{
    uint64_t left = subscriptions_left(r, word, subscriptions);
    struct resp_awaited *awaited = awaited_now(r);

    if (awaited)
        return awaited->left ? --awaited->left == 0 : left == 0;
    return !nothing_pending(r);
}

void resp_replied(struct resp *r)
{
    if (r->reply_off && nothing_pending(r) && !r->confirm)
        r->reply_off = false; /* it was refused */
    if (awaited_now(r))
        memmove(r->awaited, r->awaited + 1, --r->awaited_count * sizeof *r->awaited);
    r->replies++;
}
