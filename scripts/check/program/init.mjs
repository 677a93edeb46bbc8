/**
 * Trains the configs that clm init writes for a few times, and compares the promised with the real time.
 *
 *   npm run check -- init [MINUTES …] [--text FILE]
 *
 * By default 1 and 3 minutes of Moby-Dick. Exit code 1 if training took more than a quarter longer than promised, or
 * less than half of it.
 *
 * Time: the sum of MINUTES
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, scratchFolder } from '../../lib/clm.mjs';
import { mobyDickFile } from '../../lib/mobyDick.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: 'string', default: mobyDickFile },
  },
});
const times = positionals.length > 0 ? positionals.map(Number) : [1, 3];
const scratch = scratchFolder('init');

/** The last object that a command prints. @param {...string} args */
const result = (...args) => jsonLines(clm(...args, '--json', '--quiet')).at(-1);

for (const minutes of times) {
  const config = path.join(scratch, `minutes-${minutes}.yaml`);
  const { layers, width, contextLength, steps, msPerStep } = result(
    'init',
    '--text',
    path.resolve(values.text),
    '--minutes',
    String(minutes),
    '--output',
    config,
  );
  const beganMs = performance.now();
  const run = path.join(scratch, `minutes-${minutes}`);
  const { validationLoss } = result('train', config, '--run', run);
  const took = (performance.now() - beganMs) / 60_000;
  const untrained = JSON.parse(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').split('\n', 1)[0]).loss;
  print(
    `${minutes} min asked for: ${layers} layers of width ${width}, context ${contextLength}, ${steps} steps ` +
      `of ${msPerStep.toFixed(1)} ms measured; ` +
      `training took ${took.toFixed(2)} min as a whole process, validation loss ${untrained.toFixed(3)} → ` +
      validationLoss.toFixed(3),
  );
  if (took > 1.25 * minutes || took < 0.5 * minutes || !(validationLoss < untrained)) process.exitCode = 1;
}
