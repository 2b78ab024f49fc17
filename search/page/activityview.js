// The activity view: adding video, jobs as they go, and what could not be indexed.

import * as api from "./api.js";
import { button, byId, element, refresh } from "./dom.js";
import { count, fileName, folderOf, length, parseTags, size, when } from "./format.js";

const ENDED = new Set(["done", "cancelled"]);
const EVALUATED = new Set(["done", "failed", "cancelled"]);

export class ActivityView {
  constructor(app) {
    this.app = app;
    this.turn = 0;
    byId("pick-video").addEventListener("change", (event) => {
      this.add([...event.target.files]);
      event.target.value = "";
    });
    byId("enqueue-form").addEventListener("submit", (event) => this.enqueue(event));
    byId("enqueue-policy").addEventListener("change", () => {
      byId("enqueue-seconds").disabled = byId("enqueue-policy").value !== "every";
    });
  }

  open() {
    return this.update();
  }

  async update() {
    const turn = ++this.turn; // an answer that comes after a newer one is dropped
    const answers = await Promise.all([api.jobs(), api.failures(), api.evaluations()]).catch(() => null);
    if (!answers || turn !== this.turn) return;
    const [jobs, failures, evaluations] = answers;
    this.show(jobs.jobs);
    this.showEvaluations(evaluations.evaluations);
    refresh(byId("failures"), failures.failures, failureKey, failureRow);
    if (!failures.total) byId("failures").replaceChildren(element("li", { class: "quiet" }, "None: every source was indexed or is on its way."));
  }

  show(jobs) {
    this.jobs = jobs;
    const active = jobs.filter((job) => !ENDED.has(job.state));
    const badge = byId("active-jobs");
    badge.hidden = active.length === 0;
    badge.textContent = active.length || "";
    if (active.length) badge.setAttribute("aria-label", count(active.length, "active job"));
    refresh(byId("jobs"), jobs, (job) => job.id, (job) => this.row(job));
    if (!jobs.length) byId("jobs").replaceChildren(element("li", { class: "quiet" }, "No job yet."));
    // One at a time: a browser opens only six connections to a host, and each stream takes one.
    if (active.length) this.follow(active[0].id);
  }

  showEvaluations(evaluations) {
    byId("evaluations-section").hidden = !evaluations.length;
    refresh(byId("evaluations"), evaluations, (one) => one.id, (one) => evaluationRow(one, () => this.update()));
    this.evaluating = evaluations.some((one) => !EVALUATED.has(one.state));
  }

  follow(id) {
    if (this.followed === id) return;
    this.stream?.close();
    this.followed = id;
    this.stream = api.jobEvents(id);
    this.stream.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      const ended = ENDED.has(job.state);
      if (ended) this.unfollow();
      this.show(this.jobs.map((other) => (other.id === job.id ? job : other)));
      if (ended) this.app.changed();
    });
    this.stream.addEventListener("problem", () => this.unfollow());
  }

  unfollow() {
    this.stream?.close();
    this.stream = null;
    this.followed = null;
  }

  row(job) {
    const { counts } = job;
    const active = !ENDED.has(job.state);
    const act = (run) => () => run(job.id).then(() => this.update(), (error) => (byId("enqueue-status").textContent = error.message));
    return element(
      "li",
      { class: "job panel" },
      element("div", { class: "job-head" }, element("h3", {}, jobTitle(job)), element("span", { class: `state ${outcome(job)}` }, OUTCOMES[outcome(job)] ?? outcome(job))),
      active ? element("progress", { value: job.progress, max: 1, "aria-label": `Progress of job ${job.id}` }) : null,
      element("p", { class: "quiet" }, jobFacts(job)),
      element(
        "div",
        { class: "buttons" },
        active ? button("Cancel", act(api.cancelJob), { "aria-label": `Cancel job ${job.id}` }) : null,
        !active && counts.failed ? button("Try failed again", act(api.retryJob), { "aria-label": `Try failed sources of job ${job.id} again` }) : null,
      ),
    );
  }

  async enqueue(event) {
    event.preventDefault();
    const sources = byId("enqueue-sources").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const status = byId("enqueue-status");
    try {
      const job = await api.enqueue({ sources, policy: policy(), tags: parseTags(byId("enqueue-tags").value) });
      byId("enqueue-sources").value = "";
      this.show([job, ...(this.jobs ?? [])]);
      status.textContent = `${count(job.counts.total, "source")} taken.`;
    } catch (error) {
      status.textContent = error.message;
    }
    await this.update();
  }

  // Uploads one after the other: together they would only share the same line.
  async add(files) {
    this.app.go("activity");
    for (const file of files) {
      const bar = element("progress", { value: 0, max: Math.max(file.size, 1), "aria-label": `Upload of ${file.name}` });
      const words = element("span", { class: "quiet" }, "waiting");
      const row = element("li", {}, element("span", { class: "name" }, file.name), bar, words);
      byId("uploads").append(row);
      try {
        const stored = await api.upload(file, (sent, all) => {
          bar.value = sent;
          words.textContent = sent < all ? `${size(sent)} of ${size(all)}` : "storing";
        });
        await api.enqueue({ sources: [stored.source], policy: policy(), tags: parseTags(byId("enqueue-tags").value) });
        row.remove();
      } catch (error) {
        bar.remove();
        words.textContent = error.message;
        words.className = "error";
      }
      await this.update();
    }
  }
}

function policy() {
  const kind = byId("enqueue-policy").value;
  return kind === "every" ? { kind, seconds: Number(byId("enqueue-seconds").value) || 1 } : { kind };
}

const OUTCOMES = { partly: "done, some failed" };

// A job that indexed nothing has failed, whatever its record says; one that failed in part says so.
function outcome(job) {
  const { counts } = job;
  if (job.state !== "done" || !counts.failed) return job.state;
  return counts.indexed + counts.skipped ? "partly" : "failed";
}

function jobTitle(job) {
  return `${count(job.counts.total, "source")}${job.created_at ? `, ${when(job.created_at)}` : ""}`;
}

function jobFacts(job) {
  const { counts } = job;
  const parts = ["queued", "encoding", "indexed", "skipped", "failed", "cancelled"];
  const texts = parts.filter((name) => counts[name]).map((name) => `${counts[name].toLocaleString("en")} ${name}`);
  if (job.frames) texts.push(framesOf(job));
  if (ENDED.has(job.state)) return texts.join(" · ");
  if (job.rate) texts.push(`${job.rate.toLocaleString("en", { maximumSignificantDigits: 2 })} frames/s`);
  if (job.eta_s !== null && job.eta_s !== undefined) texts.push(`about ${length(job.eta_s)} left`);
  return texts.join(" · ");
}

function framesOf(job) {
  const isOver = ENDED.has(job.state) || job.frames_planned <= job.frames;
  return isOver ? count(job.frames, "frame") : `${job.frames.toLocaleString("en")} of about ${count(job.frames_planned, "frame")}`;
}

function evaluationRow(one, update) {
  const active = !EVALUATED.has(one.state);
  const cancel = () => api.cancelEvaluation(one.id).then(update, update);
  const link = { href: api.evaluationReport(one.id), target: "_blank", rel: "noopener", "aria-label": `Report of ${one.name}, ${one.id}` };
  return element(
    "li",
    { class: "job panel" },
    element("div", { class: "job-head" }, element("h3", {}, `${one.name} by ${one.source}`), element("span", { class: `state ${one.state}` }, one.state)),
    active ? element("progress", { ...(one.total ? { value: one.done, max: one.total } : {}), "aria-label": `Progress of evaluation ${one.id}` }) : null,
    element("p", { class: "quiet" }, evaluationFacts(one)),
    one.problem ? element("p", { class: "error" }, one.problem.detail) : null,
    element(
      "div",
      { class: "buttons" },
      active ? button("Cancel", cancel, { "aria-label": `Cancel evaluation ${one.id}` }) : null,
      one.state === "done" ? element("a", link, "Report") : null,
    ),
  );
}

function evaluationFacts(one) {
  const scores = Object.entries(one.scores).filter(([metric]) => metric.startsWith("map@") && metric.endsWith(":minKR"));
  const texts = scores.map(([metric, value]) => `MAP${metric.slice(3, -6)} ${(100 * value).toFixed(1)} %`);
  return [`collection ${one.collection}`, one.by, when(one.created_at), one.step, ...texts].filter(Boolean).join(" · ");
}

const failureKey = (failure) => `${failure.job} ${failure.source} ${failure.at} ${failure.stage}`;

function failureRow(failure) {
  const kind = failure.partial ? "indexed in part" : failure.retryable ? "can be tried again" : "failed";
  return element(
    "li",
    { class: `failure ${failure.partial ? "partial" : ""}` },
    element("p", { class: "name", title: failure.source }, fileName(failure.source)),
    element("p", { class: "folder", title: failure.source }, folderOf(failure.source)),
    element("p", {}, `${failure.stage}: ${failure.reason}`),
    element("p", { class: "quiet" }, [kind, when(failure.at)].filter(Boolean).join(" · ")),
  );
}
