// Where a clip was taken from: stretches of videos, in the form of hits.

import * as api from "./api.js";

export async function searchClip(clip, { top, videos, between, tags }, signal) {
  const fields = [["top", top], ...Object.entries(tags ?? {}).map(([key, value]) => ["tag", `${key}=${value}`])];
  if (videos) fields.push(["video", videos[0]]);
  if (between) fields.push(["between", between.join(",")]);
  const { stretches, ...answer } = await api.searchClip(clip, fields, signal);
  const hits = stretches.map((one) => ({ ...one, time_ms: one.start_ms, distance: one.mean_distance }));
  return { ...answer, hits, tie_band: 0 };
}
