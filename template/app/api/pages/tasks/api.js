// Calls of the API, with the key of whoever looks at this page.

const ROOT = new URL("../../", import.meta.url); // where the service is, behind whatever prefix
const STORED = "api-key"; // in this tab only
const PATIENCE = 20_000;

/** An answer of 400 and above, or none at all (status 0). */
export class Problem extends Error {
  constructor(status, detail, errors = [], retryAfter = 0) {
    super(detail);
    this.status = status;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => sessionStorage.setItem(STORED, value),
  forget: () => sessionStorage.removeItem(STORED),
};

/** The response itself, whatever its status; a Problem where there is none. */
export async function send(method, path, { headers = {}, body, signal } = {}) {
  if (key.get()) headers = { ...headers, Authorization: `Bearer ${key.get()}` };
  if (body !== undefined) headers = { ...headers, "Content-Type": "application/json" };
  try {
    return await fetch(new URL(path, ROOT), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw error;
    throw new Problem(0, "The service does not answer.");
  }
}

/** What the answer holds, or a Problem. */
export async function call(method, path, { signal, ...options } = {}) {
  const deadline = AbortSignal.timeout(PATIENCE);
  const response = await send(method, path, {
    ...options,
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  });
  if (!response.ok) throw await problem(response);
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "The service's answer broke off.");
  }
}

export async function problem(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // something in between has answered
  }
  const detail = typeof told.detail === "string" ? told.detail : `The service answered ${response.status}.`;
  const errors = Array.isArray(told.errors) ? told.errors : [];
  return new Problem(response.status, detail, errors, Number(response.headers.get("Retry-After")) || 0);
}
