/** How long watches are told things at a time before requests have their turn, in milliseconds. */
const TURN = 5;

const waiting = new Set<() => void>();
let running = false;

/** Runs a task soon, once however often it is asked for: between requests, which do not wait until all are told. */
export function runSoon(task: () => void): void {
  waiting.add(task);
  if (running) return;
  running = true;
  setImmediate(turn);
}

/** Takes a task back. */
export function runNot(task: () => void): void {
  waiting.delete(task);
}

function turn(): void {
  const end = performance.now() + TURN;
  for (const task of waiting) {
    waiting.delete(task);
    task();
    if (performance.now() > end) break;
  }
  if (waiting.size > 0) setImmediate(turn);
  else running = false;
}
