/** Where the time of a step goes: what a trace says about each kind of operation, in sum. */
import type { NodeTiming } from '../runtime/trace.ts';

export interface OperationProfile {
  /** Type of the operation, as MatMul. */
  operation: string;
  /** A step has so many of them. */
  count: number;
  /** Time of their kernels in a step, on their own threads. */
  threadMs: number;
  /** Of the thread time of all operations. */
  share: number;
}

/** The kinds of operations in `steps` traced steps, the dearest first. */
export function profileOf(timings: readonly NodeTiming[], steps: number): OperationProfile[] {
  const sums = new Map<string, { count: number; threadMs: number }>();
  for (const { operation, elapsedMs } of timings) {
    const sum = sums.get(operation) ?? { count: 0, threadMs: 0 };
    sums.set(operation, { count: sum.count + 1, threadMs: sum.threadMs + elapsedMs });
  }
  const totalMs = timings.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0);
  return Array.from(sums, ([operation, { count, threadMs }]) => ({
    operation,
    count: count / steps,
    threadMs: threadMs / steps,
    share: threadMs / totalMs,
  })).sort((a, b) => b.threadMs - a.threadMs);
}
