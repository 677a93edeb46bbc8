/** Watches a process of this machine from outside, through the kernel, while it cannot be heard yet. */
import { usageOf } from './usage.ts';
import { hasMoved, intervalOf, limitOf } from './watch.ts';

/**
 * @param mayWait whether it fails only if it is stopped, and not if it neither computes nor reads
 * @param onFailed told why, once, e.g. `has been stopped for 9 s`; a process that has ended is not told of
 * @returns ends the watching
 */
export function watchFromOutside(
  pid: number,
  { watchdogMs, mayWait }: { watchdogMs: number; mayWait: boolean },
  onFailed: (how: string) => void,
): () => void {
  const [limitMs, intervalMs] = [limitOf(watchdogMs), intervalOf(watchdogMs)];
  const seconds = `${Math.round(limitMs / 1000)} s`;
  let before = usageOf(pid);
  let [lastMs, runsMs, movedMs] = Array<number>(3).fill(performance.now()) as [number, number, number];
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const [elapsedMs, now] = [nowMs - lastMs, usageOf(pid)];
    lastMs = nowMs;
    if (now === undefined) return;
    // This process was stopped itself, with the other (Ctrl-Z) or alone.
    const wasStopped = elapsedMs > 3 * intervalMs;
    if (wasStopped || !now.isStopped) runsMs = nowMs;
    if (wasStopped || before === undefined || hasMoved(before, now, elapsedMs)) movedMs = nowMs;
    before = now;
    const [stoppedMs, idleMs] = [nowMs - runsMs, nowMs - movedMs];
    if (stoppedMs <= limitMs && (mayWait || idleMs <= limitMs)) return;
    clearInterval(timer);
    onFailed(
      now.isStopped
        ? `has been stopped for ${seconds}`
        : `has made no progress for ${seconds}: it neither computes nor reads anything`,
    );
  }, intervalMs).unref();
  return () => clearInterval(timer);
}
