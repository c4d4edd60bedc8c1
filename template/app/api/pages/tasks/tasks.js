// The page: lists the caller's tasks and keeps the list up to date, queues, cancels and replays.

import { call, key, Problem } from "./api.js";
import { argumentFields, findTasks, optionFields, readFields, showErrors } from "./form.js";
import { hasEnded, Row, short, STATUSES } from "./rows.js";
import { follow, inSlot } from "./stream.js";

const TASKS = "api/v1/tasks";
const PAGE = 20;
const MOST_ROWS = 300;
const EMPTY_PAGES = 5; // a page of a filtered list may be empty, and the next one not
const MOST_STREAMS = 3;
const MOST_LOOK_UPS = 5;
const WHILE_RUNNING = 3_000;
const WHILE_QUIET = 5_000;
const LONGEST_PAUSE = 60_000;

const at = (id) => document.getElementById(id);
const rows = new Map(); // by task id
const streams = new Map(); // task id -> AbortController
const mine = new Set(); // tasks that were queued, cancelled or replayed here: their end is told
const saying = [];

let openapi = null;
let fields = [];
let idempotencyKey = "";
let filter = {};
let next; // the cursor of what comes after the list: undefined until its first page is there, null after the last
let loading = new AbortController(); // of the list as it is filtered now
let timer = 0;
let failures = 0;

// ---- what is said

/** Told to those who cannot see the list change; several things at once in one go. */
function say(text) {
  saying.push(text);
  if (saying.length > 1) return;
  setTimeout(() => {
    const texts = saying.splice(0);
    at("said").textContent = texts.length > 4 ? `${texts.length} tasks have changed.` : texts.join(" ");
  }, 200);
}

/** Of the list or of an action: the next time that the same goes well, it is forgotten. */
function showTrouble(text, of) {
  if (at("trouble").textContent === text) return; // told once
  if (!text && at("trouble").dataset.of !== of) return;
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
  at("trouble").dataset.of = of;
}

/** What to do about a problem: ask for the key, or tell it. */
function handle(error, of) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) askForKey(error);
  else showTrouble(explain(error), of);
}

const handleAction = (error) => handle(error, "action");

function explain(error) {
  return error.retryAfter ? `${error.message} Try again in ${error.retryAfter} s.` : error.message;
}

// ---- the key

function showKeyForm(shown) {
  at("key-form").hidden = !shown;
  at("key-button").setAttribute("aria-expanded", String(shown));
  at("forget-key").hidden = !key.get();
  if (shown) at("key").focus();
}

function complainOfKey(text) {
  at("key-error").textContent = text;
  if (text) at("key").setAttribute("aria-invalid", "true");
  else at("key").removeAttribute("aria-invalid");
}

function askForKey(error) {
  pause();
  showTrouble("", at("trouble").dataset.of);
  const asked = !at("key-form").hidden;
  if (asked && !key.get() && at("key-error").textContent) return; // several calls were under way
  complainOfKey(key.get() ? "This key was not accepted." : `A key is needed. ${error.message}`);
  key.forget();
  if (asked) at("key").focus();
  else showKeyForm(true);
}

at("key-button").addEventListener("click", () => {
  complainOfKey("");
  showKeyForm(at("key-form").hidden);
});

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = at("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(value)) {
    complainOfKey(value ? "A key holds letters, digits and signs without spaces." : "Type or paste a key.");
    at("key").focus();
    return;
  }
  complainOfKey("");
  key.set(value);
  at("key").value = "";
  showKeyForm(false);
  at("key-button").focus();
  reload();
});

at("forget-key").addEventListener("click", () => {
  key.forget();
  complainOfKey("");
  showKeyForm(false);
  at("key-button").focus();
  reload();
});

// ---- the list

function readFilter() {
  const query = new URLSearchParams(location.search);
  const status = query.get("status") ?? "";
  filter = { status: status in STATUSES ? status : "", name: query.get("name") ?? "", task: query.get("task") ?? "" };
  at("status").value = filter.status;
  at("name").value = filter.name;
  at("filter").hidden = Boolean(filter.task);
  at("one-task").hidden = !filter.task;
  at("list-title").textContent = filter.task ? "One task" : "Your tasks";
}

function changeFilter() {
  const query = new URLSearchParams();
  if (at("status").value) query.set("status", at("status").value);
  if (at("name").value.trim()) query.set("name", at("name").value.trim());
  if (query.toString() === location.search.slice(1)) return;
  history.pushState(null, "", query.size ? `?${query}` : location.pathname);
  readFilter();
  reload();
}

async function fetchPage(cursor, signal) {
  if (filter.task) {
    return { tasks: [await call("GET", `${TASKS}/${encodeURIComponent(filter.task)}`, { signal })], next: null };
  }
  let page = { tasks: [], next: cursor };
  for (let tries = 0; !page.tasks.length && (page.next || !tries) && tries < EMPTY_PAGES; tries += 1) {
    const query = new URLSearchParams({ limit: PAGE });
    if (filter.status) query.set("status", filter.status);
    if (filter.name) query.set("name", filter.name);
    if (page.next) query.set("cursor", page.next);
    page = await call("GET", `${TASKS}?${query}`, { signal });
  }
  return page;
}

/** Begin anew, with the newest page. */
function reload() {
  pause();
  clear();
  next = undefined;
  at("list").setAttribute("aria-busy", "true");
  at("nothing").hidden = true;
  at("more").hidden = true;
  loading.abort();
  loading = new AbortController();
  return refresh();
}

/** Ask for the newest page, take it in, and come back to it. */
async function refresh() {
  clearTimeout(timer);
  const { signal } = loading;
  let pauseBefore = WHILE_QUIET;
  try {
    if (!openapi) await loadForm(signal);
    takeNewest(await fetchPage(null, signal));
    await lookUpOthers(signal);
    failures = 0;
    showTrouble("", "list");
    pauseBefore = unfinished().length ? WHILE_RUNNING : WHILE_QUIET;
  } catch (error) {
    if (signal.aborted) return;
    handle(error, "list");
    if (error.status >= 400 && error.status < 500 && error.status !== 429) return; // the same again would not help
    failures += 1;
    pauseBefore = Math.min(Math.max(WHILE_RUNNING * 2 ** (failures - 1), error.retryAfter * 1000), LONGEST_PAUSE);
  } finally {
    if (!signal.aborted) at("list").setAttribute("aria-busy", "false");
  }
  if (signal.aborted || document.hidden) return;
  clearTimeout(timer);
  timer = setTimeout(refresh, pauseBefore);
}

function takeNewest(page) {
  const known = page.tasks.some((task) => rows.has(task.task_id));
  const added = page.tasks.filter((task) => !rows.has(task.task_id));
  const away = !at("list").contains(document.activeElement);
  if (next === undefined || (added.length && away && (!known || rows.size + added.length > MOST_ROWS))) {
    clear();
    next = page.next;
  }
  let before = at("list").firstElementChild;
  for (const task of page.tasks) {
    const row = rows.get(task.task_id);
    if (row) {
      take(task);
      before = row.element.nextElementSibling;
    } else {
      add(task, before);
    }
  }
  afterChange();
}

/** What has not ended, and is on no stream and not on the newest page: a few at a time, the longest unseen first. */
async function lookUpOthers(signal) {
  const now = Date.now();
  const others = unfinished().filter((row) => !streams.has(row.task.task_id) && now - row.seen > WHILE_RUNNING / 2);
  others.sort((a, b) => a.seen - b.seen);
  for (const row of others.slice(0, MOST_LOOK_UPS)) {
    try {
      take(await call("GET", `${TASKS}/${row.task.task_id}`, { signal }));
    } catch (error) {
      if (error.status !== 404) throw error;
      remove(row); // no longer remembered
    }
  }
  afterChange();
}

async function loadMore() {
  const { signal } = loading;
  const more = at("more");
  if (more.hasAttribute("aria-disabled")) return;
  more.setAttribute("aria-disabled", "true");
  try {
    const page = await fetchPage(next, signal);
    next = page.next;
    const added = page.tasks.filter((task) => !rows.has(task.task_id)).map((task) => add(task, null));
    afterChange();
    say(added.length ? `${added.length} more tasks.` : "No more tasks found.");
    if (more.hidden) added[0]?.element.focus(); // the button had the focus
  } catch (error) {
    if (!signal.aborted) handleAction(error);
  } finally {
    more.removeAttribute("aria-disabled");
  }
}

function add(task, before) {
  const row = new Row(task, { cancel, replay });
  row.seen = Date.now();
  rows.set(task.task_id, row);
  at("list").insertBefore(row.element, before);
  return row;
}

/** A state of a task that is in the list. */
function take(task) {
  const row = rows.get(task.task_id);
  if (!row) return;
  row.seen = Date.now();
  row.update(task);
  if (hasEnded(row.task) && mine.delete(task.task_id)) {
    const failed = task.status === "FAILURE" && task.error ? `: ${task.error.type}` : "";
    say(`${task.name} ${short(task.task_id)} ${STATUSES[task.status].toLowerCase()}${failed}.`);
  }
}

function remove(row) {
  row.element.remove();
  rows.delete(row.task.task_id);
  streams.get(row.task.task_id)?.abort();
}

function clear() {
  for (const row of [...rows.values()]) remove(row);
}

function unfinished() {
  return [...rows.values()].filter((row) => !hasEnded(row.task));
}

function afterChange() {
  at("more").hidden = !next;
  at("nothing").hidden = rows.size > 0;
  const filtered = filter.status || filter.name;
  if (next) at("nothing").textContent = "None among those looked at so far.";
  else at("nothing").textContent = filtered ? "No task is like that." : "No tasks yet. Queue one above.";
  watch();
}

// ---- streams: for a few tasks that run and are in sight

function watch() {
  if (document.hidden) return;
  const inSight = unfinished().filter((row) => isInSight(row.element));
  for (const [id, controller] of streams) {
    if (!inSight.some((row) => row.task.task_id === id)) controller.abort();
  }
  inSight.sort((a, b) => (a.task.status === "PENDING") - (b.task.status === "PENDING"));
  for (const { task } of inSight) {
    if (streams.size >= MOST_STREAMS) return;
    if (!streams.has(task.task_id)) watchOne(task.task_id);
  }
}

async function watchOne(id) {
  const controller = new AbortController();
  streams.set(id, controller);
  try {
    await inSlot(() => follow(`${TASKS}/${id}/events`, { signal: controller.signal, onTask: take }));
  } catch (error) {
    if (error.status === 401) askForKey(error); // of the rest, the list tells
  } finally {
    streams.delete(id);
  }
  const row = rows.get(id);
  if (row && hasEnded(row.task)) watch();
}

function isInSight(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

// ---- what can be done with a task

function cancel(row) {
  const { task_id: id } = row.task;
  return row.busy(async () => {
    mine.add(id);
    try {
      take(await call("DELETE", `${TASKS}/${id}`));
      showTrouble("", "action");
      if (!hasEnded(row.task)) {
        say(`${row.task.name} ${short(id)} is asked to stop.`);
        row.confirm(false);
      }
    } catch (error) {
      mine.delete(id);
      row.confirm(false);
      handleAction(error);
      if (error.status === 409) take(await call("GET", `${TASKS}/${id}`));
    }
  }).catch(handleAction);
}

function replay(row) {
  const { task_id: id, name } = row.task;
  return row.busy(async () => {
    const queued = await call("POST", `${TASKS}/${id}/replay`);
    showTrouble("", "action");
    mine.add(queued.task_id);
    say(`${name} ${short(id)} is replayed as ${short(queued.task_id)}.`);
    row.update({ ...row.task, replayed_as: queued.task_id });
    if (!filter.task) await refresh();
  }).catch(handleAction);
}

// ---- the form

async function loadForm(signal) {
  try {
    openapi = await call("GET", "openapi.json", { signal });
  } catch (error) {
    if (!error.status) throw error;
    openapi = { paths: {} }; // not published: tasks can be seen, and not queued
  }
  const title = openapi.info?.title ?? "";
  at("service").textContent = title;
  document.title = title ? `Tasks · ${title}` : "Tasks";
  const tasks = findTasks(openapi);
  at("queue").hidden = tasks.size === 0;
  at("task").replaceChildren(...[...tasks.keys()].map((name) => new Option(name, name)));
  at("names").replaceChildren(...[...tasks.keys()].map((name) => new Option(name, name)));
  showFields();
}

function chosenTask() {
  return findTasks(openapi).get(at("task").value);
}

function showFields() {
  const task = chosenTask();
  if (!task) return;
  idempotencyKey = "";
  at("queue-error").textContent = "";
  at("task-description").textContent = task.description;
  const given = argumentFields(task, openapi);
  const options = optionFields(task, openapi);
  at("arguments").replaceChildren(...given.map((field) => field.element));
  at("options").replaceChildren(...options.map((field) => field.element));
  at("more-options").hidden = !options.length;
  fields = [...given, ...options];
}

async function queue(event) {
  event.preventDefault();
  const button = at("queue-button");
  const task = chosenTask();
  if (!task || button.hasAttribute("aria-disabled")) return;
  at("queue-error").textContent = "";
  const read = readFields(fields);
  if (!read) {
    focusFault();
    return;
  }
  button.setAttribute("aria-disabled", "true");
  idempotencyKey ||= randomKey(); // kept until it is known that the task was queued: to press again does no harm
  try {
    const queued = await call("POST", read.query.size ? `${task.path}?${read.query}` : task.path, {
      body: read.body,
      headers: { "Idempotency-Key": idempotencyKey },
    });
    idempotencyKey = "";
    mine.add(queued.task_id);
    say(`${queued.name} is queued as ${short(queued.task_id)}.`);
    if (!filter.task) await refresh();
  } catch (error) {
    if (error.status === 401) askForKey(error);
    else complainOfQueueing(error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function complainOfQueueing(error) {
  if (!(error instanceof Problem)) throw error;
  const left = showErrors(fields, error.errors);
  if (left.length || !error.errors.length) at("queue-error").textContent = left.join("; ") || explain(error);
  focusFault();
}

function focusFault() {
  const field = fields.find(({ fault }) => fault);
  if (field?.place === "query") at("more-options").open = true;
  field?.input.focus();
}

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ---- start

function pause() {
  clearTimeout(timer);
  for (const controller of streams.values()) controller.abort();
}

at("status").replaceChildren(
  new Option("any", ""),
  ...Object.entries(STATUSES).map(([status, word]) => new Option(word, status)),
);
at("filter").addEventListener("submit", (event) => (event.preventDefault(), changeFilter()));
at("filter").addEventListener("change", changeFilter);
at("task").addEventListener("change", showFields);
at("queue-form").addEventListener("input", () => (idempotencyKey = ""));
at("queue-form").addEventListener("submit", queue);
at("more").addEventListener("click", loadMore);
addEventListener("popstate", () => (readFilter(), reload()));
addEventListener("scroll", watch, { passive: true });
document.addEventListener("visibilitychange", () => (document.hidden ? pause() : refresh()));
setInterval(() => document.hidden || rows.forEach((row) => row.showTimes()), 1000);

readFilter();
reload();
