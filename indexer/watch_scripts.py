"""The Lua scripts of watches: what a commit does about them, and what changes them. Each is one atomic step.

A hit is three things that come and go together: a field W:FRAME of the generation's hits ("identity time distance
found"), a member W:FOUND:FRAME of their order, and a member W:FRAME of the video's own list. The identity says which
moment of which content it is, so that a moment which is encoded again (by another model, or since somebody asked for
it) is not reported again, and what was said of it holds.
"""

from __future__ import annotations

__all__ = ["CLAIM_DELIVERY", "END_DELIVERY", "HIT_FUNCTIONS", "SET_ENTRIES", "TAKE_DELIVERY"]

# Part of ``indexer.scripts``: P, now, v, V, get and gkey are defined there.
HIT_FUNCTIONS = """
local function hit_place(w, found, frame)
  return w .. ':' .. found .. ':' .. string.rep('0', 19 - #frame) .. frame
end
local function tags_fit(wanted)
  if not wanted then return true end
  local tags = cjson.decode(get('tags') or '{}')
  for name, values in pairs(wanted) do
    local is_one = false
    for _, value in ipairs(values) do is_one = is_one or tags[name] == value end
    if not is_one then return false end
  end
  return true
end
-- Keep the hits of one watch in this video, up to a bound; those beyond are counted under a name.
local function keep_group(group, bound, lost_as)
  local w, raw = group.w, redis.call('HGET', gkey('watch'), group.w)
  local entry = raw and cjson.decode(raw)
  if not entry or not tags_fit(entry.tags) then return 0 end
  local content = get('sha256')
  if not content or content == '' then content = get('content') or '' end
  local clock = redis.call('TIME')
  local found = string.format('%013.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  local room = bound - redis.call('ZLEXCOUNT', gkey('watch:order'), '[' .. w .. ':', '[' .. w .. ';')
  local kept, lost = 0, group.lost
  for _, hit in ipairs(group.hits) do
    local field = w .. ':' .. hit[1]
    if redis.call('HEXISTS', gkey('watch:hits'), field) == 0 then
      if kept >= room then
        lost = lost + 1
      else
        local time, distance = string.format('%.0f', hit[2]), string.format('%.0f', hit[3])
        local identity = redis.sha1hex((get('source') or '') .. '\\0' .. content .. '\\0' .. time)
        redis.call('HSET', gkey('watch:hits'), field, table.concat({identity, time, distance, found}, ' '))
        redis.call('ZADD', gkey('watch:order'), 0, hit_place(w, found, hit[1]))
        redis.call('SADD', P .. 'h:' .. v, field)
        if entry.hook then
          redis.call('RPUSH', gkey('watch:fresh'), field)
        else
          redis.call('SADD', P .. 'watch:' .. w .. ':sent', identity)
        end
        kept = kept + 1
      end
    end
  end
  if lost_as then
    redis.call('HSET', gkey('watch:lost'), w .. ':' .. lost_as, lost)
  elseif lost > 0 then
    redis.call('HINCRBY', gkey('watch:lost'), w .. ':new', lost)
  end
  if kept > 0 then redis.call('HINCRBY', P .. 'watch:totals', 'hits', kept) end
  return kept
end
-- Take a video's hits away. What users said of them goes, too, where the video is deleted for good.
local function drop_hits(video, is_for_good)
  for _, field in ipairs(redis.call('SMEMBERS', P .. 'h:' .. video)) do
    local value = redis.call('HGET', gkey('watch:hits'), field)
    if value then
      local identity, _, _, found = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
      local w, frame = string.match(field, '^(.+):(%d+)$')
      redis.call('ZREM', gkey('watch:order'), hit_place(w, found, frame))
      redis.call('HDEL', gkey('watch:hits'), field)
      if is_for_good then
        redis.call('HDEL', P .. 'watch:' .. w .. ':marks', identity)
        redis.call('SREM', P .. 'watch:' .. w .. ':sent', identity)
      end
    end
  end
  redis.call('DEL', P .. 'h:' .. video)
end
"""

# ARGV: prefix, generation, token, then triples: id, entry (JSON; '' takes it away), 1 if the stored frames are to be
# searched for it. Returns 'ok' or 'gone'.
SET_ENTRIES = """
local G = ARGV[1] .. 'g:' .. ARGV[2]
if redis.call('EXISTS', G) == 0 then return 'gone' end
for i = 4, #ARGV, 3 do
  local is_watch = string.sub(ARGV[i], 1, 2) ~= 's:'
  if ARGV[i + 1] == '' or (is_watch and redis.call('HEXISTS', ARGV[1] .. 'watches', ARGV[i]) == 0) then
    redis.call('HDEL', G .. ':watch', ARGV[i])
    redis.call('HDEL', G .. ':watch:todo', ARGV[i])
  else
    redis.call('HSET', G .. ':watch', ARGV[i], ARGV[i + 1])
    if ARGV[i + 2] == '1' then redis.call('HSET', G .. ':watch:todo', ARGV[i], ARGV[3]) end
  end
end
redis.call('HSET', G, 'watches', ARGV[3])
return 'ok'
"""

# ARGV: prefix, generation, id for the delivery, now, most hits of one. Turns the hits of one watch that were not
# reported yet into a delivery; returns 'none' if there are none, 'some' if there may be more, 'ok' with a delivery.
TAKE_DELIVERY = """
local P, G = ARGV[1], ARGV[1] .. 'g:' .. ARGV[2]
local first = redis.call('LINDEX', G .. ':watch:fresh', 0)
if not first then return 'none' end
local w = string.match(first, '^(.+):%d+$')
local batch = {}
for _ = 1, 1000 do
  local field = redis.call('LINDEX', G .. ':watch:fresh', 0)
  if not field or #batch >= tonumber(ARGV[5]) or string.match(field, '^(.+):%d+$') ~= w then break end
  redis.call('LPOP', G .. ':watch:fresh')
  local value = redis.call('HGET', G .. ':watch:hits', field)
  if value then
    local identity = string.match(value, '^%S+')
    if redis.call('SADD', P .. 'watch:' .. w .. ':sent', identity) == 1 then
      batch[#batch + 1] = string.match(field, '(%d+)$') .. ' ' .. value
    end
  end
end
if #batch == 0 then return 'some' end
redis.call('HSET', P .. 'd:' .. ARGV[3], 'watch', w, 'generation', ARGV[2], 'hits', table.concat(batch, '\\n'),
  'state', 'waiting', 'tries', 0, 'created_at', ARGV[4], 'next_at', ARGV[4])
redis.call('ZADD', P .. 'deliveries', ARGV[4], ARGV[3])
redis.call('ZADD', P .. 'watch:' .. w .. ':deliveries', ARGV[4], ARGV[3])
return 'ok'
"""

# ARGV: prefix, now, seconds to hold it. Returns the id of a delivery that is due, now held; nil if none is.
CLAIM_DELIVERY = """
local P = ARGV[1]
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'deliveries', '-inf', ARGV[2], 'LIMIT', 0, 100)) do
  if redis.call('EXISTS', P .. 'd:' .. id) == 1 then
    local until_then = tonumber(ARGV[2]) + tonumber(ARGV[3])
    redis.call('ZADD', P .. 'deliveries', until_then, id)
    redis.call('HINCRBY', P .. 'd:' .. id, 'tries', 1)
    redis.call('HSET', P .. 'd:' .. id, 'next_at', until_then)
    return id
  end
  redis.call('ZREM', P .. 'deliveries', id)
end
return nil
"""

# ARGV: prefix, id, state, time of the next try, status, reason, ms to keep one that was delivered.
END_DELIVERY = """
local P, D = ARGV[1], ARGV[1] .. 'd:' .. ARGV[2]
local w = redis.call('HGET', D, 'watch')
if not w then return 0 end
local list, dead = P .. 'watch:' .. w .. ':deliveries', P .. 'watch:' .. w .. ':dead'
redis.call('HSET', D, 'state', ARGV[3], 'next_at', ARGV[4], 'status', ARGV[5], 'reason', ARGV[6])
redis.call('SREM', dead, ARGV[2])
redis.call('ZREM', P .. 'deliveries', ARGV[2])
if ARGV[3] == 'waiting' then
  redis.call('ZADD', P .. 'deliveries', ARGV[4], ARGV[2])
  if ARGV[6] ~= '' then redis.call('HINCRBY', P .. 'watch:totals', 'failed', 1) end
elseif ARGV[3] == 'dead' then
  redis.call('SADD', dead, ARGV[2])
  redis.call('HINCRBY', P .. 'watch:totals', 'dead', 1)
else
  redis.call('HINCRBY', P .. 'watch:totals', 'delivered', 1)
  redis.call('HDEL', D, 'body')
  redis.call('PEXPIRE', D, ARGV[7])
end
-- Each end takes a few names off the list whose records have run out.
for _, old in ipairs(redis.call('ZRANGE', list, 0, 4)) do
  if redis.call('EXISTS', P .. 'd:' .. old) == 0 then redis.call('ZREM', list, old) end
end
return 1
"""
