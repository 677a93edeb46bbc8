// A clock that stands still while this process is stopped, e.g. together with those that it watches by Ctrl-Z.

const longestTickMs = 300;
let passedMs = 0;
let lastMs = performance.now();

function tick() {
  const nowMs = performance.now();
  passedMs += Math.min(nowMs - lastMs, longestTickMs);
  lastMs = nowMs;
}
setInterval(tick, 50).unref();

/** Milliseconds for which this process has run. */
export function awakeMs() {
  tick();
  return passedMs;
}
