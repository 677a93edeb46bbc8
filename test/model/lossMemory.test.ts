import { readFileSync, writeFileSync } from 'node:fs';
import { tensor, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { summedLoss } from '../../src/model/loss.ts';
import { returnFreeMemory } from '../../src/runtime/libc.ts';
import { openSession } from '../../src/runtime/openSession.ts';

const [N, C, V] = [1021, 7, 30_011];
const allLogits = N * V * 4; // 123 MB

/** Bytes that a pass over the loss and its gradients, in chunks of so many rows, adds to the process at most. */
async function peakBytes(rows: number): Promise<number> {
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  const inputs = { hidden: { shape: [N, C], dtype: 'float32' }, head: { shape: [V, C], dtype: 'float32' } } as const;
  const program = session.program('loss', inputs, (feeds) => {
    const targets = tensor(
      Int32Array.from({ length: N }, (_, n) => (n * 29) % V),
      [N],
      'int32',
    );
    const loss = (hidden: Tensor, head: Tensor): Tensor =>
      summedLoss(hidden, head, targets, tensor(new Float32Array(N).fill(1)), { isTrained: true, softCap: null, rows });
    const { value, grads } = valueAndGrads(loss)([feeds['hidden']!, feeds['head']!]);
    return { value, dHidden: grads[0]!, dHead: grads[1]! };
  });
  const run = () => program.run({ hidden: new Float32Array(N * C).fill(0.1), head: new Float32Array(V * C).fill(0.1) });
  returnFreeMemory(); // what is free already would not count as added
  writeFileSync('/proc/self/clear_refs', '5'); // sets the kernel's mark back to what is held now
  const before = mark();
  const { value } = await run();
  const peak = mark() - before;
  expect(value![0]! / N).toBeCloseTo(Math.log(V), 3);
  session.close();
  return peak;
}

const mark = (): number => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;

it.skipIf(process.platform !== 'linux')('the loss in chunks never holds all logits, the whole one does', async () => {
  const chunked = await peakBytes(61); // first: freed memory may stay with the process
  const whole = await peakBytes(N);
  expect(whole).toBeGreaterThan(allLogits);
  expect(chunked).toBeLessThan(allLogits / 2); // a sixteenth of them, three times, and the first run's own
});
