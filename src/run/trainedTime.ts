/** How long a run has trained, in all its processes: without the pauses between a stop and the next resume. */
import { completeLines } from './metrics.ts';
import { scanUpdate, type ScannedUpdate } from './updateScanner.ts';

/** Adds up `elapsedMs`, which starts again with each process that resumes the run. */
export interface TrainedTime {
  /** @returns the time trained up to an update with this `elapsedMs`; NaN: unknown, as long as the one before */
  add(elapsedMs: number): number;
}

export function addTrainedTime(): TrainedTime {
  let beforeMs = 0;
  let lastMs = 0;
  return {
    add: (elapsedMs) => {
      const nowMs = Number.isNaN(elapsedMs) ? lastMs : elapsedMs;
      if (nowMs < lastMs) beforeMs += lastMs;
      lastMs = nowMs;
      return beforeMs + nowMs;
    },
  };
}

/** Milliseconds of training that the updates in a `metrics.jsonl` took; 0 without the file. */
export function trainedMsIn(path: string): number {
  const time = addTrainedTime();
  const update = { elapsedMs: NaN } as ScannedUpdate;
  let trainedMs = 0;
  for (const bytes of completeLines(path)) {
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(0x0a, at);
      if (scanUpdate(bytes, at, end, update)) trainedMs = time.add(update.elapsedMs);
      at = end + 1;
    }
  }
  return trainedMs;
}
