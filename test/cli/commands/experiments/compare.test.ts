import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeRun } from '../../../experiments/runFolders.ts';
import { clm } from '../../clm.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-compare-'));
  for (const [rate, losses] of [
    [0.001, [1.5, 1.52, 1.51]],
    [0.002, [1.25, 1.27, 1.26]],
  ] as const) {
    losses.forEach((loss, seed) =>
      writeRun(path.join(folder, `rate-${rate}_seed-${seed}`), {
        losses: [3, 2, 2, 1.75],
        evaluations: [
          [0, 4],
          [4, loss],
        ],
        config: `seed: ${seed}\noptimizer: { learningRate: ${rate} }\n`,
      }),
    );
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('clm compare names the best with its spread', async () => {
  const { code, stdout, stderr } = await clm(['compare', folder]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe(
    `seed: 0, 1, 2
optimizer.learningRate: 0.001, 0.002

learningRate  n   final val loss    best val loss     at 40 tokens       train loss  tokens/s
0.002         3  1.2600 ± 0.0100  1.2600 ± 0.0100  1.2600 ± 0.0100  1.7500 ± 0.0000       102
0.001         3  1.5100 ± 0.0100  1.5100 ± 0.0100  1.5100 ± 0.0100  1.7500 ± 0.0000       102

best: 0.002, validation loss 1.2600 ± 0.0100 (n 3)
  0.001: 0.2500 higher, beyond the spread between seeds (95 %: ±0.0227)
`,
  );
  const { stdout: json } = await clm(['compare', folder, '--json', '--at', 'flops']);
  expect(JSON.parse(json)).toMatchObject({
    alignment: 'flops',
    amount: 240,
    groups: [{ values: { 'optimizer.learningRate': 0.002 } }, {}],
  });
});
