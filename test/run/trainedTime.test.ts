import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readRunStatus, noteRunStatus } from '../../src/run/status.ts';
import { trainedMsIn } from '../../src/run/trainedTime.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();

it('adds up the time of all processes of a run, without the pauses between them', () => {
  const file = path.join(folder(), 'metrics.jsonl');
  expect(trainedMsIn(file)).toBe(0);
  const lines = [100, 250, 400, 90, 300, 80].map((elapsedMs, i) =>
    JSON.stringify({
      kind: 'step',
      step: i + 1,
      loss: 1,
      learningRate: 1,
      gradientNorm: 1,
      tokensPerSecond: 1,
      elapsedMs,
    }),
  );
  lines.splice(3, 0, '{"kind":"evaluation","step":3,"loss":1}');
  writeFileSync(file, `${lines.join('\n')}\n`);
  expect(trainedMsIn(file)).toBe(400 + 300 + 80);
});

it('notes the step of a run in a whole file', async () => {
  await noteRunStatus(folder(), { state: 'stopped', step: 7, steps: 9, reason: null });
  expect(readRunStatus(folder())).toMatchObject({ state: 'stopped', step: 7, steps: 9 });
});
