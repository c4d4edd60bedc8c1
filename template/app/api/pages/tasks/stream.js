// Follows one task by its event stream. EventSource would do, if it could send the key.

import { problem, send } from "./api.js";

const SLOTS = 3; // a browser opens six connections to one host over HTTP/1.1, for all of its tabs
const SILENCE = 60_000; // the server sends something more often than that
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;

let unshared = 0;

/** Do the work in one of the slots, which all tabs share; without any where none is free. */
export async function inSlot(work) {
  if (!navigator.locks) {
    // not over plain HTTP, where tabs cannot count together
    if (unshared) return;
    unshared += 1;
    await work().finally(() => (unshared -= 1));
    return;
  }
  for (let slot = 1; slot <= SLOTS; slot += 1) {
    const done = await navigator.locks.request(`task-stream-${slot}`, { ifAvailable: true }, async (lock) => {
      if (lock) await work();
      return lock !== null;
    });
    if (done) return;
  }
}

/** Tell each state of the task until it has ended, or the signal says so; comes back after what breaks the stream. */
export async function follow(path, { signal, onTask }) {
  const place = { id: "", pause: FIRST_PAUSE, ended: false };
  for (let failures = 0; !place.ended; failures += 1) {
    if (failures) await rest(place.pause * 2 ** Math.min(failures - 1, 5), signal);
    if (signal.aborted) return;
    try {
      await read(path, signal, place, (task) => {
        failures = 0;
        onTask(task);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      place.pause = Math.max(FIRST_PAUSE, (error.retryAfter ?? 0) * 1000);
    }
  }
}

async function read(path, signal, place, onTask) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const headers = { Accept: "text/event-stream", ...(place.id && { "Last-Event-ID": place.id }) };
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const response = await send("GET", path, { headers, signal: either });
    if (!response.ok) throw await problem(response);
    if (response.status === 204) place.ended = true; // nothing new will come
    for await (const event of place.ended ? [] : events(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      if (event.retry) place.pause = event.retry;
      if (event.id !== undefined) place.id = event.id;
      if (event.data) onTask(JSON.parse(event.data));
      if (event.type === "end") {
        place.ended = true;
        return;
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort(); // closes the connection
  }
}

/** The events of a stream, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them; comments too. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let event = {};
  let returned = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += returned ? value.replace(/^\n/, "") : value; // the other half of a \r\n
    returned = value.endsWith("\r");
    for (let end; (end = /\r\n|\n|\r/.exec(text)); ) {
      const line = text.slice(0, end.index);
      text = text.slice(end.index + end[0].length);
      if (line.startsWith(":")) {
        yield {};
      } else if (line) {
        take(event, line);
      } else {
        yield event;
        event = {};
      }
    }
  }
}

function take(event, line) {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  else if (field === "event") event.type = value;
  else if (field === "id") event.id = value;
  else if (field === "retry" && /^\d+$/.test(value)) event.retry = Number(value);
}

function rest(milliseconds, signal) {
  const jitter = 0.5 + Math.random() / 2;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_PAUSE) * jitter);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
