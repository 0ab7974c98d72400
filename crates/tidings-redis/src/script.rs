//! What is done in Redis in one step.

use std::sync::LazyLock;

use redis::{Cmd, Script, cmd};

/// A script in Lua, and the checksum that Redis knows it by once it has run.
#[derive(Debug)]
pub(crate) struct Lua {
    text: &'static str,
    hash: String,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    /// A command that runs the script on some keys; arguments follow.
    pub(crate) fn on(&self, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.text).arg(keys.len()).arg(keys);
        command
    }

    /// The same after [`on`](Self::on) on the same connection: only the checksum is sent, not the whole script.
    pub(crate) fn again_on(&self, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }
}

/// `APPEND stream ends ends-by-time [once] max_events is_last window nonce waits "topic" topic field value …` appends an
/// entry, unless the topic is finished, which is an error, or `once` exists. `once` then holds the entry's id and the nonce of its
/// publication, for `window` milliseconds. The answer is what it holds, or would hold. If
/// replicas are waited for (`waits`), it is written also where it exists: a server waits only for what the connection wrote.
///
/// Redis undoes nothing when a script fails. So what fails after the entry was appended has a code of its own.
pub(crate) static APPEND: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local once, topic = KEYS[4], ARGV[7]\n\
         local done = once and redis.call('GET', once)\n\
         if done then\n\
           if ARGV[5] == '1' then redis.call('SET', once, done, 'KEEPTTL') end\n\
           return done\n\
         end\n\
         local last = redis.call('HGET', KEYS[2], topic)\n\
         if last and #redis.call('XRANGE', KEYS[1], last, last) > 0 then\n\
           return redis.error_reply('FINISHED topic is finished')\n\
         end\n\
         local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 6))\n\
         done = id .. ' ' .. ARGV[4]\n\
         local failure\n\
         local function note(...)\n\
           local answer = redis.pcall(...)\n\
           if type(answer) == 'table' and answer.err then failure = answer.err end\n\
         end\n\
         if once then note('SET', once, done, 'PX', ARGV[3]) end\n\
         if ARGV[2] == '1' then\n\
           note('HSET', KEYS[2], topic, id)\n\
           note('ZADD', KEYS[3], string.match(id, '^%d+'), topic)\n\
         end\n\
         if failure then return redis.error_reply('KEPT ' .. failure) end\n\
         return done",
    )
});

/// `FINISHED stream ends topic …` answers with the id of the last event of each topic, if the stream has it, or with
/// nothing.
pub(crate) static FINISHED: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local ends = redis.call('HMGET', KEYS[2], unpack(ARGV))\n\
         for i, id in ipairs(ends) do\n\
           if not id or #redis.call('XRANGE', KEYS[1], id, id) == 0 then ends[i] = '' end\n\
         end\n\
         return ends",
    )
});

/// `STATE stream ends ends-by-time id max_events max_age` trims the stream to its limits, with `max_age` in milliseconds or
/// 0, forgets the topics whose last events are gone (a thousand at a time), and answers with its length, last generated id, entries ever added (or nothing), largest deleted id (or
/// nothing), first and newest id (or nothing), whether `id` is present, and the names of its groups. The answer
/// is empty where there is no stream.
///
/// A replica refuses to trim, which shows that it is the wrong server. Other failures to trim do not matter.
pub(crate) static STATE: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local trimmed = redis.pcall('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2])\n\
         if type(trimmed) == 'table' and string.find(trimmed.err, 'READONLY') then\n\
           return trimmed\n\
         end\n\
         if ARGV[3] ~= '0' then\n\
           local now = redis.call('TIME')\n\
           local oldest = now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[3]\n\
           redis.pcall('XTRIM', KEYS[1], 'MINID', string.format('%.0f', oldest))\n\
         end\n\
         local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1]\n\
         local before = oldest and '(' .. string.match(oldest[1], '^%d+') or '+inf'\n\
         local gone = redis.pcall('ZRANGEBYSCORE', KEYS[3], '-inf', before, 'LIMIT', '0', '1000')\n\
         if #gone > 0 then\n\
           redis.pcall('HDEL', KEYS[2], unpack(gone))\n\
           redis.pcall('ZREM', KEYS[3], unpack(gone))\n\
         end\n\
         if redis.call('EXISTS', KEYS[1]) == 0 then return {} end\n\
         local info, of = redis.call('XINFO', 'STREAM', KEYS[1]), {}\n\
         for i = 1, #info, 2 do of[info[i]] = info[i + 1] end\n\
         local function id(entry) return entry and entry[1] or '' end\n\
         local function number(n) return n and string.format('%.0f', n) or '' end\n\
         local there = 0\n\
         if ARGV[1] ~= '' then there = #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) end\n\
         local state = {\n\
           number(of['length']), of['last-generated-id'], number(of['entries-added']),\n\
           of['max-deleted-entry-id'] or '', id(of['first-entry']), id(of['last-entry']),\n\
           number(there)\n\
         }\n\
         for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do\n\
           for i = 1, #group, 2 do\n\
             if group[i] == 'name' then table.insert(state, group[i + 1]) end\n\
           end\n\
         end\n\
         return state",
    )
});

/// `PRESENT stream id` answers with 1 if the stream has the entry, and with 0 if not. Not with the entry, which may be large.
pub(crate) static PRESENT: LazyLock<Lua> =
    LazyLock::new(|| Lua::new("return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])"));

/// `OLDEST stream end count` answers with the id of the oldest of the newest entries up to `end`, at most `count` of them, or
/// with nothing. Not with the entries, which may be large.
pub(crate) static OLDEST: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local newest = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])\n\
         return #newest > 0 and newest[#newest][1] or ''",
    )
});

/// `CLAIM stream before after` replaces the group that names the history, or makes the first if `before` is empty;
/// unless the stream has another one than `before`. Answers with the one that the stream has then.
pub(crate) static CLAIM: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local found = ''\n\
         if redis.call('EXISTS', KEYS[1]) == 1 then\n\
           for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do\n\
             for i = 1, #group, 2 do\n\
               if group[i] == 'name' and string.find(group[i + 1], 'tidings:', 1, true) == 1 then\n\
                 found = group[i + 1]\n\
               end\n\
             end\n\
           end\n\
         end\n\
         if found ~= ARGV[1] then return found end\n\
         redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[2], '$', 'MKSTREAM')\n\
         if found ~= '' then redis.call('XGROUP', 'DESTROY', KEYS[1], found) end\n\
         return ARGV[2]",
    )
});
