"""The Lua scripts that change the stored state. Each is one atomic step: all of it happens, or none.

Redis does not take back what a script did before an error, so each one reads and checks before it writes.

Every script that moves a video from one state to another keeps the tally of its job, so that the counts of
a job always add up. ``append`` continues the running hash: h' = SHA-1(h, NUL, fields joined by NUL), seeded by
the log's epoch, by which a reader knows that the log it follows is still the one it has read.
"""

from __future__ import annotations

from indexer.watch_scripts import HIT_FUNCTIONS

__all__ = [
    "ADD_SECONDS",
    "CLOSE_CANCELLED",
    "CLOSE_FAILED",
    "COMMIT_CHUNK",
    "DELETE_VIDEO",
    "KEEP_HITS",
    "PLAN_VIDEO",
    "RELOCATE_VIDEO",
    "SET_TAGS",
    "SUPERSEDE_VIDEO",
]

_COMMON = (
    """
local P = ARGV[1]
local now = ARGV[2]
local v = ARGV[3]
local V = P .. 'v:' .. v
local function get(field) return redis.call('HGET', V, field) end
local function gkey(name) return P .. 'g:' .. get('generation') .. ':' .. name end
local function append(...)
  local fields = {...}
  local head = gkey('head')
  local before = redis.call('HGET', head, 'hash')
  local hash = redis.sha1hex(before .. '\\0' .. table.concat(fields, '\\0'))
  fields[#fields + 1] = 'h'
  fields[#fields + 1] = hash
  local id = redis.call('XADD', gkey('log'), '*', unpack(fields))
  redis.call('HSET', head, 'hash', hash, 'id', id)
  return id
end
-- The key of the video's job; nil once that was forgotten, so that no tally brings a piece of it back.
local function job_key()
  local job = get('job')
  local key = job and job ~= '' and P .. 'j:' .. job
  return key and redis.call('EXISTS', key) == 1 and key or nil
end
local function tally(field, by)
  local J = job_key()
  if J then redis.call('HINCRBYFLOAT', J, field, by) end
end
-- The moment and the count of two looks back, so that the rate of the last while can be told from any one look.
local WINDOW_S = 15
local function pace()
  local J = job_key()
  if not J then return end
  local frames, at = redis.call('HGET', J, 'frames') or '0', redis.call('HGET', J, 'pace_at')
  if not at then
    redis.call('HSET', J, 'pace_at', now, 'pace_frames', frames, 'pace_from', now, 'pace_base', frames)
    redis.call('HSETNX', J, 'started_at', now)
  elseif tonumber(now) - tonumber(at) >= WINDOW_S then
    local base = redis.call('HGET', J, 'pace_frames') or '0'
    redis.call('HSET', J, 'pace_from', at, 'pace_base', base, 'pace_at', now, 'pace_frames', frames)
  end
end
-- How many of a video's expected key-frames are a chunk's, by its share of the length.
local function expected(chunk, chunks)
  local planned, length = tonumber(get('planned') or '0'), tonumber(get('duration_ms') or '0')
  local bounds = cjson.decode(get('bounds') or '[]')
  local first = tonumber(bounds[chunk + 1])
  if length <= 0 or not first then return planned / chunks end
  return planned * math.max(0, (tonumber(bounds[chunk + 2]) or length) - first) / length
end
-- What is left of a video's expected key-frames does not come any more; ``all``: nor does what was committed stay.
local function unplan(all)
  local planned = tonumber(get('planned') or '0')
  local chunks = tonumber(get('chunks') or '0')
  if planned == 0 or chunks == 0 then return end
  local done = tonumber(get('weight') or '0')
  tally('planned', all and -planned or done - planned)
  if all then tally('planned_done', -done) end
  redis.call('HSET', V, 'planned', all and 0 or done)
end
local function move(to)
  local from = get('state')
  if from == to then return end
  redis.call('HSET', V, 'state', to)
  tally('n_' .. from, -1)
  tally('n_' .. to, 1)
  local J = job_key()
  if not J then return end
  local open = redis.call('HMGET', J, 'n_queued', 'n_encoding')
  if tonumber(open[1] or '0') <= 0 and tonumber(open[2] or '0') <= 0 then
    redis.call('HSET', J, 'finished_at', now)
  else
    redis.call('HDEL', J, 'finished_at')
  end
end
"""
    + HIT_FUNCTIONS
    + """
-- What a video holds is known by its identity (content and policy). A copy of it under another name is not encoded: it
-- is 'skipped' and names the holder. When the holder goes, its copies are taken up again, or end with it.
local function forget(key, field, value)
  if field and redis.call('HGET', key, field) == value then redis.call('HDEL', key, field) end
end
local function end_copy(copy, state, reason)
  local C = P .. 'v:' .. copy
  if redis.call('HGET', C, 'state') ~= 'skipped' then return end
  redis.call('HDEL', C, 'same_as')
  redis.call('HSET', C, 'state', state, 'reason', reason)
  forget(gkey('contents'), redis.call('HGET', C, 'content'), copy)
  local J = P .. 'j:' .. (redis.call('HGET', C, 'job') or '')
  if redis.call('EXISTS', J) == 1 then
    redis.call('HINCRBYFLOAT', J, 'n_skipped', -1)
    redis.call('HINCRBYFLOAT', J, 'n_' .. state, 1)
    if state == 'queued' then redis.call('HDEL', J, 'finished_at') end
  end
  if state == 'queued' then redis.call('ZADD', P .. 'units:queued', now, copy .. ':plan') end
end
local function leave(holder, reason)
  forget(gkey('holders'), redis.call('HGET', P .. 'v:' .. holder, 'identity'), holder)
  local job = redis.call('HGET', P .. 'v:' .. holder, 'job')
  for _, copy in ipairs(redis.call('SMEMBERS', P .. 'same:' .. holder)) do
    -- Whoever cancels a job does not want its copies to begin.
    local is_cancelled = reason or redis.call('HGET', P .. 'j:' .. (job or ''), 'is_cancelled') == '1'
      and redis.call('HGET', P .. 'v:' .. copy, 'job') == job
    end_copy(copy, is_cancelled and 'cancelled' or 'queued', reason or '')
  end
  redis.call('DEL', P .. 'same:' .. holder)
end
local function leave_to(old, new)
  local identity = redis.call('HGET', P .. 'v:' .. old, 'identity')
  local holder = redis.call('HGET', P .. 'v:' .. old, 'same_as')
  if holder then redis.call('SREM', P .. 'same:' .. holder, old) end
  if not identity or identity ~= redis.call('HGET', P .. 'v:' .. new, 'identity') or get('state') ~= 'indexed' then
    return leave(old)
  end
  if redis.call('HGET', gkey('holders'), identity) == old then redis.call('HSET', gkey('holders'), identity, new) end
  for _, copy in ipairs(redis.call('SMEMBERS', P .. 'same:' .. old)) do
    redis.call('HSET', P .. 'v:' .. copy, 'same_as', new)
    redis.call('SADD', P .. 'same:' .. new, copy)
  end
  redis.call('DEL', P .. 'same:' .. old)
end
local function supersede(old)
  if not old or old == '' or old == v then return end
  if redis.call('ZREM', gkey('videos'), old) == 0 then return end
  append('op', 'replace', 'v', old, 'n', v)
  redis.call('HSET', P .. 'v:' .. old, 'state', 'deleted')
  drop_hits(old, false)
  redis.call('ZREM', gkey('failed'), old)
  redis.call('ZADD', P .. 'gone', now, old)
  -- Its file may come back as it was: then it is not indexed any more.
  local content = redis.call('HGET', P .. 'v:' .. old, 'content')
  if content and redis.call('HGET', gkey('contents'), content) == old then
    redis.call('HDEL', gkey('contents'), content)
  end
  leave_to(old, v)
end
-- Failed attempts at a place are members PLACE:VIDEO, so that one that succeeds finds those before it.
local function miss()
  local place = get('place')
  if place and place ~= '' then redis.call('ZADD', gkey('misses'), 0, place .. ':' .. v) end
end
local function forget_miss()
  local place = get('place')
  if place and place ~= '' then redis.call('ZREM', gkey('misses'), place .. ':' .. v) end
end
-- What is indexed at a place replaces what was indexed there before, and takes its failures off the list.
local function settle()
  local place = get('place')
  if not place or place == '' then return end
  supersede(redis.call('HGET', gkey('places'), place))
  redis.call('HSET', gkey('places'), place, v)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', gkey('misses'), '[' .. place .. ':', '[' .. place .. ';')) do
    redis.call('ZREM', gkey('failed'), string.sub(member, #place + 2))
    redis.call('ZREM', gkey('misses'), member)
  end
end
-- Beyond the limit warnings are counted, by one that says how many there are.
local function warn(notes, limit)
  if #notes == 0 then return end
  local warnings = cjson.decode(get('warnings') or '[]')
  for _, note in ipairs(notes) do
    local last = warnings[#warnings]
    if #warnings < limit then
      warnings[#warnings + 1] = note
    else
      if not last.unlisted then
        last = {stage = note.stage, unlisted = 0}
        warnings[#warnings + 1] = last
      end
      last.unlisted = last.unlisted + 1
      last.reason = 'and ' .. last.unlisted .. ' more, not listed one by one'
    end
  end
  redis.call('HSET', V, 'warnings', cjson.encode(warnings))
  redis.call('ZADD', gkey('failed'), now, v)
end
local function is_open() local s = get('state') return s == 'queued' or s == 'encoding' end
"""
)

# ARGV 4..: alternating field, value (duration, codec, chunks, bounds ...); that of 'members' gets a key of its own.
# Returns 'ok', 'planned', 'gone', or 'same' where the content is held by another video already.
PLAN_VIDEO = (
    _COMMON
    + """
if not is_open() then return 'gone' end
if get('chunks') and get('chunks') ~= '0' then return 'planned' end
-- Tags that the holder lacks are set there, so that filters find the content by the copy's tags, too.
local function lend_tags(H, holder)
  local tags, differing, is_new = cjson.decode(redis.call('HGET', H, 'tags') or '{}'), {}, false
  for name, value in pairs(cjson.decode(get('tags') or '{}')) do
    if tags[name] == nil then
      tags[name], is_new = value, true
    elseif tags[name] ~= value then
      differing[#differing + 1] = name
    end
  end
  if is_new then
    local text = cjson.encode(tags)
    redis.call('HSET', H, 'tags', text)
    append('op', 'meta', 'v', holder, 'tags', text)
  end
  return #differing > 0 and '; its tags differ in ' .. table.concat(differing, ', ') or ''
end
-- The same file with another time of change: the record of what is indexed takes the new time, and this one goes.
local function touch(H, holder)
  forget(gkey('contents'), redis.call('HGET', H, 'content'), holder)
  for _, name in ipairs({'size', 'modified_ns', 'path', 'content', 'version'}) do
    local value = get(name)
    if value then redis.call('HSET', H, name, value) end
  end
  local job = job_key()
  if job then
    redis.call('LINSERT', job .. ':videos', 'AFTER', v, holder)
    redis.call('LREM', job .. ':videos', 1, v)
  end
  redis.call('ZREM', gkey('videos'), v)
  redis.call('ZADD', P .. 'gone', now, v)
  redis.call('HSET', V, 'state', 'deleted')
end
local function skip(holder)
  local H = P .. 'v:' .. holder
  local differing = lend_tags(H, holder)
  local is_indexed = redis.call('HGET', H, 'state') == 'indexed'
  move('skipped')
  local place, content = get('place'), get('content')
  local is_touched = place and place ~= '' and redis.call('HGET', H, 'place') == place
  if is_touched then touch(H, holder) end
  if content and content ~= '' and (is_indexed or not is_touched) then
    redis.call('HSET', gkey('contents'), content, is_touched and holder or v)
  end
  forget_miss()
  if is_touched then return end
  local reason = 'the same content as video ' .. holder .. ' (' .. redis.call('HGET', H, 'source') .. ')' .. differing
  redis.call('HSET', V, 'same_as', holder, 'reason', reason)
  redis.call('SADD', P .. 'same:' .. holder, v)
  settle()
end
local fields, identity, members = {}, '', ''
for i = 4, #ARGV, 2 do
  if ARGV[i] == 'members' then members = ARGV[i + 1]
  else
    fields[#fields + 1], fields[#fields + 2] = ARGV[i], ARGV[i + 1]
    if ARGV[i] == 'identity' then identity = ARGV[i + 1] end
  end
end
local holder = identity ~= '' and redis.call('HGET', gkey('holders'), identity)
local here = identity ~= '' and redis.call('HGET', gkey('places'), get('place') or '')
-- What is indexed under this very name comes first: it may have been encoded again, beside the holder.
if here and redis.call('HGET', P .. 'v:' .. here, 'identity') == identity
  and redis.call('HGET', P .. 'v:' .. here, 'state') == 'indexed' then holder = here end
redis.call('HSET', V, unpack(fields))
if holder and holder ~= v and get('again') ~= '1' then
  redis.call('HSET', V, 'chunks', 0, 'bounds', '[]')
  skip(holder)
  return 'same'
end
if identity ~= '' then redis.call('HSETNX', gkey('holders'), identity, v) end
if members ~= '' then redis.call('SET', P .. 'm:' .. v, members) end
if not get('planned') then
  -- How many key-frames a codec or a scene detector finds is a guess, put right by those that are found.
  local policy = cjson.decode(get('policy') or '{}')
  local step = policy.kind == 'every' and tonumber(policy.seconds) or 2
  redis.call('HSET', V, 'planned', math.max(1, math.ceil(tonumber(get('duration_ms') or '0') / 1000 / step)))
end
move('encoding')
tally('chunks', get('chunks'))
tally('planned', get('planned'))
tally('planned_videos', 1)
pace()
return 'ok'
"""
)

# ARGV: 4 chunk, 5 value, 6 sha, 7 frames, 8 warnings (JSON array), 9 decode_s, 10 encode_s, 11 commit_s so far,
# 12 fingerprint, 13 how many key-frames of which kinds were found (JSON object).
# 14 to 16 watches, 17 what computed the codes. Returns the log id, 'exists', 'gone', 'unplanned' or 'model'.
COMMIT_CHUNK = (
    _COMMON
    + """
local function all_dropped()
  local kinds = {}
  for _, kind in ipairs({'black', 'blank', 'frozen', 'duplicate'}) do
    local count = get('found_' .. kind)
    if count then kinds[#kinds + 1] = count .. ' ' .. kind end
  end
  if #kinds == 0 then return {stage = 'decode', reason = 'no key-frame in this source'} end
  local reason = 'the policy dropped every key-frame: ' .. table.concat(kinds, ', ') .. '; enqueue it without drop'
  return {stage = 'policy', reason = reason}
end
if not is_open() then return 'gone' end
if redis.call('HGET', P .. 'g:' .. get('generation'), 'fingerprint') ~= ARGV[12] then return 'model' end
local chunks = tonumber(get('chunks') or '0')
if tonumber(ARGV[4]) >= chunks then return 'unplanned' end
local notes = cjson.decode(ARGV[8])
local found = cjson.decode(ARGV[13])
-- 14 token of the watches that the codes were compared with, 15 what matched (JSON), 16 how many hits are kept.
if (redis.call('HGET', P .. 'g:' .. get('generation'), 'watches') or '') ~= ARGV[14] then return 'watches' end
local groups = cjson.decode(ARGV[15])
if redis.call('HSETNX', P .. 'c:' .. v, ARGV[4], ARGV[5]) == 0 then return 'exists' end
for _, group in ipairs(groups) do keep_group(group, tonumber(ARGV[16])) end
redis.call('HSET', P .. 's:' .. v, ARGV[4], ARGV[6])
local id = append('op', 'put', 'v', v, 'c', ARGV[4], 's', ARGV[6])
redis.call('HINCRBY', V, 'frames', ARGV[7])
for kind, count in pairs(found) do redis.call('HINCRBY', V, 'found_' .. kind, count) end
if (ARGV[17] or '') ~= '' then redis.call('HINCRBY', V, 'by_' .. ARGV[17], ARGV[7]) end
-- Two places are left: for how many more there are, and for what may end the video.
warn(notes, 98)
tally('frames', ARGV[7])
tally('chunks_done', 1)
tally('decode_s', ARGV[9])
tally('encode_s', ARGV[10])
tally('commit_s', ARGV[11])
local weight = expected(tonumber(ARGV[4]), chunks)
redis.call('HINCRBYFLOAT', V, 'weight', weight)
tally('planned_done', weight)
pace()
if redis.call('HINCRBY', V, 'done', 1) < chunks then return id end
if get('frames') == '0' then
  local first = cjson.decode(get('warnings') or '[]')[1] or all_dropped()
  local retryable = (first.stage == 'decode' or first.stage == 'policy') and '0' or '1'
  redis.call('HSET', V, 'stage', first.stage, 'reason', first.reason, 'retryable', retryable)
  redis.call('ZADD', gkey('failed'), now, v)
  miss()
  move('failed')
  leave(v)
  return id
end
move('indexed')
supersede(get('replaces'))
settle()
local content = get('content')
if content and content ~= '' then
  -- The same source may have been taken in twice before either was indexed: the one that ends last stays.
  supersede(redis.call('HGET', gkey('contents'), content))
  redis.call('HSET', gkey('contents'), content, v)
end
local identity = get('identity')
if identity then redis.call('HSETNX', gkey('holders'), identity, v) end
return id
"""
)

# ARGV: 4 stage, 5 reason, 6 retryable (1 or 0). A video that has frames already is kept: indexed, in part.
CLOSE_FAILED = (
    _COMMON
    + """
if not is_open() then return 'gone' end
unplan(false)
redis.call('ZADD', gkey('failed'), now, v)
if tonumber(get('frames') or '0') > 0 then
  warn({{stage = ARGV[4], reason = ARGV[5]}}, 100)
  move('indexed')
else
  redis.call('HSET', V, 'stage', ARGV[4], 'reason', ARGV[5], 'retryable', ARGV[6])
  miss()
  move('failed')
end
leave(v)
return 'ok'
"""
)

# ARGV: 4 keep_partial (1 or 0)
CLOSE_CANCELLED = (
    _COMMON
    + """
if not is_open() then return 'gone' end
if ARGV[4] == '1' and tonumber(get('frames') or '0') > 0 then
  unplan(false)
  warn({{stage = 'cancel', reason = 'cancelled before the end; the frames so far were kept'}}, 100)
  move('indexed')
  leave(v)
  return 'kept'
end
if tonumber(get('done') or '0') > 0 then append('op', 'delete', 'v', v) end
drop_hits(v, false)
redis.call('ZADD', P .. 'gone', now, v)
redis.call('ZREM', gkey('failed'), v)
tally('frames', -tonumber(get('frames') or '0'))
unplan(true)
redis.call('HSET', V, 'frames', '0')
move('cancelled')
leave(v)
return 'ok'
"""
)

DELETE_VIDEO = (
    _COMMON
    + """
local state = get('state')
if not state or state == 'deleted' then return 'gone' end
local id = append('op', 'delete', 'v', v)
drop_hits(v, true)
redis.call('ZREM', gkey('videos'), v)
redis.call('ZREM', gkey('failed'), v)
redis.call('ZADD', P .. 'gone', now, v)
local content = get('content')
if content and content ~= '' and redis.call('HGET', gkey('contents'), content) == v then
  redis.call('HDEL', gkey('contents'), content)
end
forget_miss()
local place = get('place')
if place and place ~= '' and redis.call('HGET', gkey('places'), place) == v then
  redis.call('HDEL', gkey('places'), place)
end
local holder = get('same_as')
if holder then redis.call('SREM', P .. 'same:' .. holder, v) end
leave(v, 'the same content was deleted as video ' .. v .. '; enqueue this source again to index it')
if is_open() then
  unplan(false)
  move('cancelled')
end
redis.call('HSET', V, 'state', 'deleted')
return id
"""
)

# ARGV: 4 tags to set (JSON object), '' removes one. The log entry carries all tags as they are then.
SET_TAGS = (
    _COMMON
    + """
local state = get('state')
if not state or state == 'deleted' then return 'gone' end
local tags = cjson.decode(get('tags') or '{}')
for name, value in pairs(cjson.decode(ARGV[4])) do
  if value == '' then tags[name] = nil else tags[name] = value end
end
local text = cjson.encode(tags)
redis.call('HSET', V, 'tags', text)
return append('op', 'meta', 'v', v, 'tags', text)
"""
)

# ARGV: 4 the source as it was, 5 its new name, 6 path, 7 time of change, 8 content, 9 place. Returns the log id,
# 'gone', 'moved' (the source is not what it was) or 'taken' (another video is indexed at the new place).
RELOCATE_VIDEO = (
    _COMMON
    + """
local state = get('state')
if not state or state == 'deleted' then return 'gone' end
if get('source') ~= ARGV[4] then return 'moved' end
local there = redis.call('HGET', gkey('places'), ARGV[9])
if there and there ~= v then return 'taken' end
local function carry(name, before, after)
  if before and before ~= '' and redis.call('HGET', gkey(name), before) == v then
    redis.call('HDEL', gkey(name), before)
    if after ~= '' then redis.call('HSET', gkey(name), after, v) end
  end
end
carry('contents', get('content'), ARGV[8])
carry('places', get('place'), ARGV[9])
if redis.call('ZREM', gkey('misses'), (get('place') or '') .. ':' .. v) == 1 then
  redis.call('ZADD', gkey('misses'), 0, ARGV[9] .. ':' .. v)
end
redis.call('HSET', V, 'source', ARGV[5], 'path', ARGV[6], 'modified_ns', ARGV[7], 'content', ARGV[8], 'place', ARGV[9])
return append('op', 'meta', 'v', v, 'source', ARGV[5])
"""
)

# ARGV: 4 number of the fresh attempt that a failed video makes room for, and whose place in the job's list it takes;
# the caller registers that in the same transaction.
SUPERSEDE_VIDEO = (
    _COMMON
    + """
if get('state') ~= 'failed' then return 'gone' end
if tonumber(get('done') or '0') > 0 then append('op', 'delete', 'v', v) end
tally('n_failed', -1)
tally('total', -1)
tally('chunks', -tonumber(get('chunks') or '0'))
tally('chunks_done', -tonumber(get('done') or '0'))
if get('planned') then
  -- All that is left in the tally of a failed video is what was committed of it.
  tally('planned', -tonumber(get('planned')))
  tally('planned_done', -tonumber(get('planned')))
  tally('planned_videos', -1)
end
local job = get('job')
if job and job ~= '' then
  redis.call('LINSERT', P .. 'j:' .. job .. ':videos', 'AFTER', v, ARGV[4])
  redis.call('LREM', P .. 'j:' .. job .. ':videos', 1, v)
end
forget_miss()
redis.call('ZREM', gkey('videos'), v)
redis.call('ZREM', gkey('failed'), v)
redis.call('ZADD', P .. 'gone', now, v)
redis.call('HSET', V, 'state', 'deleted')
return 'ok'
"""
)

# ARGV: 4 what the watches match among this video's stored frames (JSON), 5 how many are kept. Returns how many are new.
KEEP_HITS = (
    _COMMON
    + """
local state = get('state')
if state ~= 'encoding' and state ~= 'indexed' then return 0 end
local kept = 0
for _, group in ipairs(cjson.decode(ARGV[4])) do kept = kept + keep_group(group, tonumber(ARGV[5]), 'stored') end
return kept
"""
)

# ARGV: 4 seconds that the video's job has spent beside decoding and the network.
ADD_SECONDS = (
    _COMMON
    + """
tally('commit_s', ARGV[4])
return 'ok'
"""
)
