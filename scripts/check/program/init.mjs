// npm run check -- init [MINUTES …] [--text FILE]: clm init for each of the times (default: 1 and 3 minutes) and
// Moby-Dick, then clm train with the config as written. Prints how long training took and exits 1 where that was more
// than a quarter longer than promised or less than half of it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { mobyDickFile } from '../../lib/mobyDick.mjs';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '../../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: 'string', default: mobyDickFile },
  },
});
const times = positionals.length > 0 ? positionals.map(Number) : [1, 3];
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-check-init-'));

/** @returns the last object on stdout */
function clm(args) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'dist/cli/main.js'), ...args, '--json', '--quiet'],
    { encoding: 'utf8', maxBuffer: 1e9 },
  );
  if (status !== 0) throw new Error(`clm ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1));
}

try {
  for (const minutes of times) {
    const config = path.join(scratch, `minutes-${minutes}.yaml`);
    const { layers, width, contextLength, steps, msPerStep } = clm([
      'init',
      '--text',
      path.resolve(values.text),
      '--minutes',
      String(minutes),
      '--output',
      config,
    ]);
    const beganMs = performance.now();
    const run = path.join(scratch, `minutes-${minutes}`);
    const { validationLoss } = clm(['train', config, '--run', run]);
    const took = (performance.now() - beganMs) / 60_000;
    const untrained = JSON.parse(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').split('\n', 1)[0]).loss;
    process.stdout.write(
      `${minutes} min asked for: ${layers} layers of width ${width}, context ${contextLength}, ${steps} steps of ${msPerStep.toFixed(1)} ms measured; ` +
        `training took ${took.toFixed(2)} min as a whole process, validation loss ${untrained.toFixed(3)} → ${validationLoss.toFixed(3)}\n`,
    );
    if (took > 1.25 * minutes || took < 0.5 * minutes || !(validationLoss < untrained)) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
