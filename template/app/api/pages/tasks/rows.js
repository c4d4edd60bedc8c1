// One task in the list. Whatever a task tells is set as text, never as markup.

export const STATUSES = {
  PENDING: "Waiting",
  STARTED: "Started",
  PROGRESS: "Running",
  RETRY: "Retrying",
  SUCCESS: "Succeeded",
  FAILURE: "Failed",
  REVOKED: "Cancelled",
};
const ENDED = ["SUCCESS", "FAILURE", "REVOKED"];
const MOST_TEXT = 20_000;

const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export const hasEnded = (task) => ENDED.includes(task.status);
export const short = (id) => id.slice(0, 8);

export class Row {
  /** `cancel` and `replay` are called with this row. */
  constructor(task, { cancel, replay }) {
    this.element = document.querySelector("#row").content.firstElementChild.cloneNode(true);
    this.element.id = `task-${task.task_id}`;
    for (const unseen of this.element.querySelectorAll(".unseen")) {
      unseen.textContent = ` ${task.name} ${short(task.task_id)}`;
    }
    this.part("h3").textContent = task.name;
    this.part(".full-id").textContent = task.task_id;
    this.part("progress").setAttribute("aria-label", `Progress of ${task.name} ${short(task.task_id)}`);
    this.part(".confirm").setAttribute("aria-label", `Cancel ${task.name} ${short(task.task_id)}?`);
    this.part(".result").setAttribute("aria-label", `Result of ${task.name}`);
    this.part(".traceback").setAttribute("aria-label", `Traceback of ${task.name}`);
    link(this.part(".meta .id"), task.task_id);
    this.part(".cancel").addEventListener("click", () => this.confirm(true));
    this.part(".no").addEventListener("click", () => this.confirm(false));
    this.part(".yes").addEventListener("click", () => cancel(this));
    this.part(".replay").addEventListener("click", () => replay(this));
    this.part(".confirm").addEventListener("keydown", ({ key }) => key === "Escape" && this.confirm(false));
    this.update(task);
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  /** Show the task as it is now. What has ended stays so: an answer may be older than what a stream has told. */
  update(task) {
    const before = this.task;
    if (before && hasEnded(before) && !hasEnded(task)) return;
    if (JSON.stringify(before) === JSON.stringify(task)) return;
    this.task = task;
    const focused = this.element.contains(document.activeElement) && document.activeElement;
    this.element.dataset.status = task.status;
    this.part(".status span").textContent = STATUSES[task.status] ?? task.status;
    this.part(".status use").setAttribute("href", `#${task.status}`);
    this.showProgress();
    this.showEnd();
    this.showDetails();
    this.showActions();
    this.showTimes();
    // what had the focus may be gone
    if (focused && !focused.checkVisibility()) this.element.focus();
  }

  showProgress() {
    const { progress } = this.task;
    this.part(".course").hidden = !progress || hasEnded(this.task);
    if (!progress) return;
    const bar = this.part("progress");
    if (progress.total > 0) {
      bar.max = progress.total;
      bar.value = progress.current;
    } else {
      bar.removeAttribute("value");
    }
    const counted = progress.total > 0 ? `${progress.current} of ${progress.total}` : `${progress.current}`;
    this.part(".step").textContent = [counted, progress.message].filter(Boolean).join(" · ");
  }

  showEnd() {
    const { error, replayed_as: replayedAs } = this.task;
    this.part(".failure").hidden = !error;
    this.part(".failure").textContent = error ? [error.type, error.message].filter(Boolean).join(": ") : "";
    this.part(".replayed").hidden = !replayedAs;
    if (replayedAs) link(this.part(".replayed .id"), replayedAs);
  }

  showDetails() {
    const { task } = this;
    for (const [name, time] of [["queued", task.queued_at], ["started", task.started_at], ["finished", task.finished_at]]) {
      this.part(`.${name}`).textContent = time ? exact.format(new Date(time)) : "not yet";
    }
    this.part(".retries").textContent = task.retries;
    this.showText("result", task.status === "SUCCESS" ? JSON.stringify(task.result, null, 2) : undefined);
    this.showText("traceback", task.error?.traceback);
  }

  showText(name, text) {
    for (const part of this.element.querySelectorAll(`.of-${name}`)) part.hidden = !text;
    const shown = text?.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}\n… and ${text.length - MOST_TEXT} more characters` : text;
    this.part(`.${name}`).textContent = shown ?? "";
  }

  showActions() {
    const confirming = !this.part(".confirm").hidden && !hasEnded(this.task);
    this.part(".confirm").hidden = !confirming;
    this.part(".cancel").hidden = confirming || hasEnded(this.task);
    this.part(".replay").hidden = this.task.status !== "FAILURE" || Boolean(this.task.replayed_as);
  }

  /** Called again and again: what it says depends on the time. */
  showTimes() {
    const { queued_at: queued, started_at: started, finished_at: finished, retries } = this.task;
    const said = ["queued ", time(queued)];
    if (started && finished) said.push(` · ran for ${duration(new Date(finished) - new Date(started))}`);
    else if (started && this.task.status !== "RETRY") said.push(` · running for ${duration(wholeSeconds(Date.now() - new Date(started)))}`);
    if (retries) said.push(` · ${retries} ${retries === 1 ? "retry" : "retries"}`);
    const text = said.map((part) => part.textContent ?? part).join("");
    if (this.part(".times").textContent !== text) this.part(".times").replaceChildren(...said);
  }

  confirm(asking) {
    this.part(".confirm").hidden = !asking;
    this.part(".cancel").hidden = asking;
    this.part(asking ? ".no" : ".cancel").focus();
  }

  /** While a call is under way a second press does nothing. */
  async busy(work) {
    const buttons = this.element.querySelectorAll("button");
    if (buttons[0].hasAttribute("aria-disabled")) return;
    for (const button of buttons) button.setAttribute("aria-disabled", "true");
    try {
      await work();
    } finally {
      for (const button of buttons) button.removeAttribute("aria-disabled");
    }
  }
}

function link(anchor, id) {
  anchor.textContent = short(id);
  anchor.title = id;
  anchor.href = `?task=${encodeURIComponent(id)}`;
}

function time(iso) {
  const element = document.createElement("time");
  const moment = new Date(iso);
  element.dateTime = iso;
  element.title = exact.format(moment);
  element.textContent = ago((Date.now() - moment) / 1000);
  return element;
}

function ago(seconds) {
  if (seconds < 60) return "just now";
  for (const [unit, length, most] of [["minute", 60, 60], ["hour", 3600, 24]]) {
    if (seconds / length < most) return relative.format(-Math.floor(seconds / length), unit);
  }
  return relative.format(-Math.floor(seconds / 86400), "day");
}

function wholeSeconds(milliseconds) {
  return Math.max(0, Math.floor(milliseconds / 1000)) * 1000;
}

function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds % 1 && seconds < 1) return `${milliseconds}\u00a0ms`;
  if (seconds % 1 && seconds < 10) return `${seconds.toFixed(1)}\u00a0s`;
  if (seconds < 60) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min ${Math.floor(seconds % 60)}\u00a0s`;
  return `${Math.floor(seconds / 3600)}\u00a0h ${Math.floor((seconds % 3600) / 60)}\u00a0min`;
}
