// Calls of the service. Whether it answers at all is told to whoever listens, so that the page can say so.

export const connection = new EventTarget();

const SOURCE_TIMEOUT_MS = 5_000;

export class ApiError extends Error {
  constructor(status, detail, problem = null) {
    super(detail);
    this.status = status;
    this.problem = problem;
  }
}

async function call(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.dispatchEvent(new Event("down"));
    throw new ApiError(0, "The service does not answer.");
  }
  connection.dispatchEvent(new Event("up"));
  const body = await response.json().catch(() => null);
  if (response.status === 401) connection.dispatchEvent(new Event("denied"));
  if (!response.ok) throw new ApiError(response.status, body?.detail ?? `The service answered ${response.status}.`, body);
  return body;
}

const send = (method, address, document, options = {}) =>
  call(address, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(document), ...options });
const post = (...rest) => send("POST", ...rest);
const patch = (...rest) => send("PATCH", ...rest);

function address(path, fields) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null && value !== "") query.append(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export const search = (request, signal) => post("/v1/search", request, { signal });

export function searchPicture(blob, fields, signal) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  form.append("image", blob, "query");
  return call("/v1/search/image", { method: "POST", body: form, signal });
}

export function searchClip(clip, fields, signal) {
  const form = new FormData();
  form.append("clip", clip, "clip");
  return call(`/v1/search/clip?${new URLSearchParams(fields)}`, { method: "POST", body: form, signal });
}

export const videos = (fields = {}) => call(address("/v1/videos", fields));
export const video = (id) => call(`/v1/videos/${id}`);
export const deleteVideo = (id) => call(`/v1/videos/${id}`, { method: "DELETE" });
export const setTags = (id, tags) => patch(`/v1/videos/${id}/tags`, { tags });
export const jobs = () => call("/v1/jobs?limit=30");
export const enqueue = (request) => post("/v1/jobs", request);
export const cancelJob = (id) => call(`/v1/jobs/${encodeURIComponent(id)}/cancel`, { method: "POST" });
export const retryJob = (id) => call(`/v1/jobs/${encodeURIComponent(id)}/retry`, { method: "POST" });
export const evaluations = () => call("/v1/evaluations?limit=30");
export const cancelEvaluation = (id) => call(`/v1/evaluations/${encodeURIComponent(id)}/cancel`, { method: "POST" });
export const evaluationReport = (id) => `/v1/evaluations/${encodeURIComponent(id)}/report`;
export const watches = () => call("/v1/watches");
export const addWatch = (request) => post("/v1/watches", request);
export const changeWatch = (id, change) => patch(`/v1/watches/${encodeURIComponent(id)}`, change);
export const removeWatch = (id) => call(`/v1/watches/${encodeURIComponent(id)}`, { method: "DELETE" });
export const testWebhook = (id) => call(`/v1/watches/${encodeURIComponent(id)}/test-webhook`, { method: "POST" });
export const finds = (id, fields) => call(address(`/v1/watches/${encodeURIComponent(id)}/hits`, fields));
export const markFinds = (id, frames, state) => post(`/v1/watches/${encodeURIComponent(id)}/hits/mark`, { frames, state });
export const failures = () => call("/v1/failures?limit=100");
export const collections = () => call("/v1/collections");

// Health comes with both answers: 200 when ready, 503 with what is known until then.
export async function health() {
  try {
    return await call("/readyz");
  } catch (error) {
    if (error.problem?.health) return error.problem.health;
    throw error;
  }
}

export const session = () => call("/v1/session");
// The cookie that comes back stands for the key: pictures and players cannot send a header.
export const signIn = (key) => call("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
export const signOut = () => fetch("/v1/session", { method: "DELETE" });

// Why a source is not served; "" if it is. What does not answer in time is not waited for: it is the video that is wanted.
export async function sourceTrouble(videoId) {
  const options = { headers: { Range: "bytes=0-0" }, signal: AbortSignal.timeout(SOURCE_TIMEOUT_MS) };
  const response = await fetch(`/v1/videos/${videoId}/source`, options).catch(() => null);
  if (!response) return "The service does not answer.";
  if (response.ok) return "";
  return (await response.json().catch(() => null))?.detail ?? `The service answered ${response.status}.`;
}

export const mask = (frameId) => `/v1/frames/${frameId}/mask`;
export const watchPicture = (id, number) => `/v1/watches/${encodeURIComponent(id)}/pictures/${number}`;
export const thumbnail = (frameId, width = 320) => `/v1/frames/${frameId}/thumbnail?width=${width}`;
export const source = (videoId, milliseconds) => `/v1/videos/${videoId}/source#t=${(milliseconds / 1000).toFixed(3)}`;
export const jobEvents = (id) => new EventSource(`/v1/jobs/${encodeURIComponent(id)}/events`);

// Numbers above 2^53 lose digits in JavaScript, so frame ids are made with BigInt and kept as text.
export const frameOf = (videoId, index) => ((BigInt(videoId) << 32n) + BigInt(index)).toString();

// XMLHttpRequest, since fetch does not tell how much of a body was sent.
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address("/v1/uploads", { filename: file.name }));
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("load", () => {
      if (request.status === 401) connection.dispatchEvent(new Event("denied"));
      if (request.status === 201) resolve(request.response);
      else reject(new ApiError(request.status, request.response?.detail ?? `The service answered ${request.status}.`));
    });
    request.addEventListener("error", () => {
      connection.dispatchEvent(new Event("down"));
      reject(new ApiError(0, "The connection broke during the upload."));
    });
    request.send(file);
  });
}
