/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of Redis by name. Most are alike to us; of some, arguments decide what they are, how they are answered, or whether
 * they wait. Only words that stand in a table here are ever taken from arguments: any other may be a secret.
 *
 * A request of a special command is looked at word by word, until its row wants no more. The words may come as arguments, as words
 * of an inline command, or as what the recorder kept of either, which is a line of those that are known.
 */
#include <strings.h>

#include "resp.h"

/* By their first letter, frequent ones first; of 16 bytes, so that a name is compared as two numbers. */
#define ROWS(letter, ...)                                                                                              \
    [letter - 'A'] = {(const char[][RESP_ROW_BYTES]){__VA_ARGS__},                                                     \
                      sizeof((const char[][RESP_ROW_BYTES]){__VA_ARGS__}) / RESP_ROW_BYTES}

static const struct {
    const char (*rows)[RESP_ROW_BYTES];
    size_t count;
} frequent[26] = {
    ROWS('A', "AUTH", "APPEND", "ASKING"),
    ROWS('B', "BITCOUNT", "BITFIELD", "BITOP", "BITPOS", "BGSAVE", "BGREWRITEAOF"),
    ROWS('C', "COPY"),
    ROWS('D', "DEL", "DECR", "DECRBY", "DISCARD", "DBSIZE", "DEBUG", "DUMP"),
    ROWS('E', "EXPIRE", "EXISTS", "EXEC", "EVALSHA", "EVAL", "ECHO", "EXPIREAT", "EXPIRETIME"),
    ROWS('F', "FLUSHALL", "FLUSHDB", "FCALL", "FAILOVER"),
    ROWS('G', "GET", "GETEX", "GETSET", "GETDEL", "GETRANGE", "GETBIT", "GEOADD", "GEOSEARCH", "GEOPOS", "GEODIST", "GEOHASH",
         "GEORADIUS"),
    ROWS('H', "HGET", "HSET", "HMGET", "HGETALL", "HMSET", "HDEL", "HINCRBY", "HEXISTS", "HLEN", "HKEYS", "HVALS", "HSCAN",
         "HSETNX", "HINCRBYFLOAT", "HELLO", "HSTRLEN", "HRANDFIELD"),
    ROWS('I', "INCR", "INCRBY", "INCRBYFLOAT", "INFO"),
    ROWS('K', "KEYS"),
    ROWS('L', "LPUSH", "LPOP", "LRANGE", "LLEN", "LINDEX", "LTRIM", "LREM", "LSET", "LMOVE", "LASTSAVE", "LPOS", "LINSERT",
         "LPUSHX", "LMPOP", "LCS", "LOLWUT"),
    ROWS('M', "MGET", "MSET", "MULTI", "MSETNX", "MOVE", "MIGRATE"),
    ROWS('P', "PING", "PEXPIRE", "PTTL", "PSETEX", "PUBLISH", "PFADD", "PFCOUNT", "PERSIST", "PEXPIREAT", "PFMERGE"),
    ROWS('Q', "QUIT"),
    ROWS('R', "RPUSH", "RPOP", "RPOPLPUSH", "RENAME", "RENAMENX", "RANDOMKEY", "REPLCONF", "ROLE", "RPUSHX", "RESTORE",
         "READONLY", "READWRITE", "REPLICAOF"),
    ROWS('S', "SET", "SETEX", "SADD", "SETNX", "SREM", "SISMEMBER", "SMEMBERS", "SCARD", "SPOP", "SRANDMEMBER", "SCAN", "SSCAN",
         "SELECT", "STRLEN", "SETRANGE", "SETBIT", "SINTER", "SUNION", "SDIFF", "SMISMEMBER", "SMOVE", "SPUBLISH",
         "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE", "SINTERCARD", "SORT", "SAVE", "SUBSTR", "SWAPDB", "SLAVEOF",
         "SENTINEL"),
    ROWS('T', "TTL", "TYPE", "TIME", "TOUCH"),
    ROWS('U', "UNLINK", "UNWATCH"),
    ROWS('W', "WATCH"),
    ROWS('X', "XADD", "XACK", "XRANGE", "XLEN", "XDEL", "XTRIM", "XPENDING", "XAUTOCLAIM", "XREVRANGE", "XCLAIM", "XSETID"),
    ROWS('Z', "ZADD", "ZRANGE", "ZSCORE", "ZREM", "ZCARD", "ZINCRBY", "ZRANGEBYSCORE", "ZREVRANGE", "ZRANK", "ZREVRANK",
         "ZCOUNT", "ZPOPMIN", "ZSCAN", "ZPOPMAX", "ZMSCORE", "ZREVRANGEBYSCORE", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE",
         "ZUNIONSTORE", "ZINTERSTORE", "ZUNION", "ZINTER", "ZDIFF", "ZDIFFSTORE", "ZRANGESTORE", "ZRANDMEMBER", "ZMPOP",
         "ZLEXCOUNT", "ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZREMRANGEBYLEX", "ZINTERCARD"),
};

const char *resp_frequent(const char *name, size_t n, const char *end)
{
    const uint64_t upper = ~UINT64_C(0x2020202020202020); /* no byte but a letter becomes one by losing its bit 5 */
    unsigned letter = n ? (unsigned)((*name & ~0x20) - 'A') : 26;

    if (letter >= 26 || n > RESP_ROW_BYTES)
        return NULL;
    uint64_t low = resp_letters(name, n < 8 ? n : 8, end) & upper;
    uint64_t high = n > 8 ? resp_letters(name + 8, n - 8, end) & upper : 0;
    for (size_t i = 0; i < frequent[letter].count; i++) {
        const char *row = frequent[letter].rows[i];
        if (resp_letters(row, 8, row + 8) == low && resp_letters(row + 8, 8, row + RESP_ROW_BYTES) == high)
            return row;
    }
    return NULL;
}

static const struct resp_row special[] = {
    {"ACL", RESP_CONTAINER, "CAT DELUSER DRYRUN GENPASS GETUSER HELP LIST LOAD LOG SAVE SETUSER USERS WHOAMI "},
    {"BLMOVE", RESP_WAITS, NULL},
    {"BLMPOP", RESP_WAITS, NULL},
    {"BLPOP", RESP_WAITS, NULL},
    {"BRPOP", RESP_WAITS, NULL},
    {"BRPOPLPUSH", RESP_WAITS, NULL},
    {"BZMPOP", RESP_WAITS, NULL},
    {"BZPOPMAX", RESP_WAITS, NULL},
    {"BZPOPMIN", RESP_WAITS, NULL},
    {"CLIENT", RESP_CONTAINER,
     "CACHING GETNAME GETREDIR HELP ID INFO KILL LIST NO-EVICT NO-TOUCH PAUSE REPLY SETINFO SETNAME TRACKING TRACKINGINFO "
     "UNBLOCK UNPAUSE "},
    {"CLUSTER", RESP_CONTAINER,
     "ADDSLOTS COUNTKEYSINSLOT DELSLOTS FAILOVER FORGET GETKEYSINSLOT HELP INFO KEYSLOT LINKS MEET MYID MYSHARDID NODES "
     "REPLICAS REPLICATE RESET SAVECONFIG SETSLOT SHARDS SLAVES SLOTS "},
    {"COMMAND", RESP_CONTAINER, "COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST "},
    {"CONFIG", RESP_CONTAINER, "GET HELP RESETSTAT REWRITE SET "},
    {"FUNCTION", RESP_CONTAINER, "DELETE DUMP FLUSH HELP KILL LIST LOAD RESTORE STATS "},
    {"LATENCY", RESP_CONTAINER, "DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST RESET "},
    {"MEMORY", RESP_CONTAINER, "DOCTOR HELP MALLOC-STATS PURGE STATS USAGE "},
    {"MODULE", RESP_CONTAINER, "HELP LIST LOAD LOADEX UNLOAD "},
    {"MONITOR", RESP_MONITORS, NULL},
    {"OBJECT", RESP_CONTAINER, "ENCODING FREQ HELP IDLETIME REFCOUNT "},
    {"PSUBSCRIBE", RESP_SUBSCRIBES, NULL},
    {"PSYNC", RESP_REPLICATES, NULL},
    {"PUBSUB", RESP_CONTAINER, "CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB "},
    {"PUNSUBSCRIBE", RESP_UNSUBSCRIBES, NULL},
    {"RESET", RESP_RESETS, NULL},
    {"SCRIPT", RESP_CONTAINER, "DEBUG EXISTS FLUSH HELP KILL LOAD "},
    {"SHUTDOWN", RESP_SHUTS_DOWN, NULL},
    {"SLOWLOG", RESP_CONTAINER, "GET HELP LEN RESET "},
    {"SSUBSCRIBE", RESP_SUBSCRIBES, NULL},
    {"SUBSCRIBE", RESP_SUBSCRIBES, NULL},
    {"SUNSUBSCRIBE", RESP_UNSUBSCRIBES, NULL},
    {"SYNC", RESP_REPLICATES, NULL},
    {"UNSUBSCRIBE", RESP_UNSUBSCRIBES, NULL},
    {"WAIT", RESP_WAITS, NULL},
    {"WAITAOF", RESP_WAITS, NULL},
    {"XGROUP", RESP_CONTAINER, "CREATE CREATECONSUMER DELCONSUMER DESTROY HELP SETID "},
    {"XINFO", RESP_CONTAINER, "CONSUMERS GROUPS HELP STREAM "},
    {"XREAD", RESP_READS_STREAM, NULL},
    {"XREADGROUP", RESP_READS_STREAM, NULL},
};

const struct resp_row *resp_special_row(const char *name, size_t n)
{
    for (size_t i = 0; n && i < sizeof special / sizeof *special; i++)
        if ((*name & ~0x20) == *special[i].name && strlen(special[i].name) == n && strncasecmp(special[i].name, name, n) == 0)
            return &special[i];
    return NULL;
}

bool resp_known(const char *name, size_t n)
{
    return resp_frequent(name, n, name + n) || resp_special_row(name, n);
}

/* --- arguments --- */

void resp_command_begin(struct resp_command *c, const struct resp_row *row, uint32_t total)
{
    *c = (struct resp_command){.row = row, .total = total};
    if (!row)
        return;
    c->waits = row->special == RESP_WAITS;
    if (row->special == RESP_CONTAINER)
        c->look = LOOK_FOR_SUBCOMMAND;
    else if (row->special == RESP_READS_STREAM)
        c->look = LOOK_FOR_BLOCK;
}

static bool is_word(const char *known, const char *word, size_t n)
{
    return strlen(known) == n && strncasecmp(known, word, n) == 0;
}

static bool on_subcommand(struct resp_command *c, const char *word, size_t n)
{
    const char *all = c->row->subcommands;

    c->look = LOOK_NO_FURTHER;
    for (const char *p = all, *blank; (blank = strchr(p, ' ')); p = blank + 1) {
        if ((size_t)(blank - p) != n || strncasecmp(p, word, n) != 0)
            continue;
        c->sub = (uint8_t)(p - all);
        c->sub_bytes = (uint8_t)n;
        if (c->total == 3 && is_word("REPLY", word, n))
            c->look = LOOK_FOR_REPLY_MODE;
        return true;
    }
    return false;
}

static bool on_reply_mode(struct resp_command *c, const char *word, size_t n)
{
    static const char *const modes[] = {[REPLY_ON] = "ON", [REPLY_OFF] = "OFF", [REPLY_SKIP] = "SKIP"};

    c->look = LOOK_NO_FURTHER;
    for (unsigned mode = REPLY_ON; mode <= REPLY_SKIP; mode++)
        if (is_word(modes[mode], word, n)) {
            c->reply = (uint8_t)mode;
            return true;
        }
    return false;
}

/* XREAD and XREADGROUP: [GROUP group consumer] [COUNT n] [BLOCK ms] [NOACK] STREAMS ... */
static bool on_option(struct resp_command *c, const char *word, size_t n)
{
    if (c->skip) {
        c->skip--;
        return false;
    }
    if (is_word("GROUP", word, n) || is_word("COUNT", word, n)) {
        c->skip = (*word & ~0x20) == 'G' ? 2 : 1;
        return true;
    }
    if (is_word("NOACK", word, n))
        return true;
    c->look = LOOK_NO_FURTHER;
    c->waits = is_word("BLOCK", word, n);
    return c->waits || is_word("STREAMS", word, n);
}

bool resp_command_word(struct resp_command *c, const char *word, size_t n)
{
    if (c->look == LOOK_FOR_SUBCOMMAND)
        return on_subcommand(c, word, n);
    if (c->look == LOOK_FOR_REPLY_MODE)
        return on_reply_mode(c, word, n);
    return on_option(c, word, n);
}

void resp_command_pass(struct resp_command *c)
{
    if (c->skip)
        c->skip--;
    else
        c->look = LOOK_NO_FURTHER;
}

bool resp_keeps_words(const struct resp_command *c)
{
    return c->look || (c->row && (c->row->special == RESP_SUBSCRIBES || c->row->special == RESP_UNSUBSCRIBES));
}

size_t resp_keep_word(struct resp_command *c, char *text, size_t kept, const char *word, size_t n)
{
    bool known = false;

    if (c->look && n && n <= RESP_WORD_MAX)
        known = resp_command_word(c, word, n);
    else if (c->look)
        resp_command_pass(c);
    if (kept + RESP_WORD_MAX + sizeof " \r\n" > PAYLOAD_TEXT_MAX)
        return 0;
    text[kept++] = ' ';
    memcpy(text + kept, known ? word : "?", known ? n : 1);
    return kept + (known ? n : 1);
}
