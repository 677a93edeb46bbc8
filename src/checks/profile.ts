/** Where the time of a step goes: the trace of some steps, summed by kind of operation. */
import type { NodeTiming } from '../runtime/trace.ts';

export interface OperationProfile {
  /** Type of the operation, e.g. MatMul. */
  operation: string;
  /** Number of them in a step. */
  count: number;
  /** Time of their kernels in a step, summed over threads. */
  threadMs: number;
  /** Share of the thread time of all operations. */
  share: number;
}

/** The kinds of operations in `steps` traced steps, the slowest first. */
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
