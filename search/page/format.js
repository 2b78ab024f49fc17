// Numbers and times as people read them.

export function clock(milliseconds) {
  const tenths = Math.floor(milliseconds / 100);
  const [hours, minutes, seconds] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  const tail = seconds.toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

// "1:02.5", "0:01:02.5" or "62.5" -> 62500; null for nothing; throws with words for what is no time.
export function parseClock(text) {
  const wanted = text.trim();
  if (!wanted) return null;
  if (!/^(\d+:){0,2}\d+(\.\d+)?$/.test(wanted)) throw new Error(`"${wanted}" is no time; write it as minutes:seconds`);
  return Math.round(1000 * wanted.split(":").reduce((sum, part) => 60 * sum + Number(part), 0));
}

export function length(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const fileName = (source) => source.replace(/\/+$/, "").split("/").pop() || source;

// The last two folders of a source: enough to tell two files of one name apart.
export function folderOf(source) {
  const folders = source.replace(/\/+$/, "").split("/").slice(0, -1).filter(Boolean);
  return folders.slice(-2).join("/");
}

// What a hit is called and where it lies; pictures of a folder or an archive go by their own names.
export const nameOf = (hit) => fileName(hit.member ?? hit.source);
export const placeOf = (hit) => (hit.member ? [fileName(hit.source), folderOf(hit.member)].filter(Boolean).join("/") : folderOf(hit.source));
export const pathOf = (hit) => (hit.member ? `${hit.source}/${hit.member}` : hit.source);

export function when(seconds) {
  const options = { dateStyle: "medium", timeStyle: "short" };
  return seconds ? new Date(seconds * 1000).toLocaleString(undefined, options) : "";
}

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

// "a=1, b=2" or one a line -> {a: "1", b: "2"}; throws with words for what is no key=value.
export function parseTags(text) {
  const tags = {};
  for (const part of text.split(/[,\n]/).map((item) => item.trim()).filter(Boolean)) {
    const at = part.indexOf("=");
    if (at < 1) throw new Error(`"${part}" is no tag; write it as key=value`);
    tags[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return tags;
}
