import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const [N, C, V] = [1021, 7, 30_011];
const allLogits = N * V * 4; // 123 MB

/** Bytes that a pass over the loss and its gradients, in chunks of so many rows, adds to a process at most. */
function addedBytes(rows: number): number {
  const args = [path.join(import.meta.dirname, 'lossPeak.mjs'), ...[N, C, V, rows].map(String)];
  const result = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
  expect(result.meanLoss).toBeCloseTo(Math.log(V), 3);
  return result.addedBytes;
}

it.skipIf(process.platform !== 'linux')('the loss in chunks never holds all logits, the whole one does', () => {
  expect(addedBytes(N)).toBeGreaterThan(allLogits);
  expect(addedBytes(61)).toBeLessThan(allLogits / 2); // a sixteenth of them, three times, and the first run's own
});
