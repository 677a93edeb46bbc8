/** Waiting that does not count the time in which this process was stopped itself, e.g. by Ctrl-Z. */

const longestTickMs = 200;
/** A tick that comes later than this many has not been late, but the process was stopped. */
const lateTicks = 5;

/** Calls `late` once this process has run for `waitMs`. @returns ends the waiting */
export function afterAwake(waitMs: number, late: () => void): () => void {
  const tickMs = Math.min(longestTickMs, waitMs / lateTicks);
  let leftMs = waitMs;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    leftMs -= Math.min(nowMs - lastMs, lateTicks * tickMs);
    lastMs = nowMs;
    if (leftMs > 0) return;
    clearInterval(timer);
    late();
  }, tickMs);
  return () => clearInterval(timer);
}
