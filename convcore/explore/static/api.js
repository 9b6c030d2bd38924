// Requests to the server, which computes all values that pages show.
import { closeMessage, showMessage, showNote } from "./message.js";

const LONG = 1500; // milliseconds after which the page explains the delay

async function answered(request) {
  let response;
  const explain = setTimeout(() => showNote("Computing .. What runs for the first time is compiled, which can take half a minute."), LONG);
  try {
    response = await request;
  } catch {
    throw new Error("the server does not answer; does `convcore explore` still run?");
  } finally {
    clearTimeout(explain);
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export const get = (path) => answered(fetch(path));

export const post = (name, body) =>
  answered(
    fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
  );

export const upload = (file, kind) =>
  answered(
    fetch(`/api/upload?kind=${kind}`, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }),
  );

// Run an action that may fail; a failure is shown, a success removes an earlier message.
export async function attempt(action) {
  try {
    await action();
    closeMessage();
  } catch (error) {
    showMessage(error.message);
  }
}

// The same for actions requested faster than they finish: one at a time; of those waiting, only the newest is run.
export function newestOnly(action) {
  let running = false;
  let waiting = null;
  return async function run(...args) {
    waiting = args;
    if (running) return;
    running = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      await attempt(() => action(...next));
    }
    running = false;
  };
}

let offered = null;

// The pictures and filters to choose from.
export function choices() {
  offered ??= get("/api/choices");
  return offered;
}
