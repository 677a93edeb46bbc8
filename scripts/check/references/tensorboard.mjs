/**
 * Trains with --log tensorboard and csv and lets TensorBoard's own reader read the event files back.
 *
 *   npm run check -- tensorboard --python PYTHON
 *
 * Every scalar must be that of metrics.jsonl as a 32-bit float, the text that of samples/; also after a resume. PYTHON
 * has the package tensorboard.
 *
 * Time: 20 s
 */
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, root, run as output, scratchFolder } from '../../lib/clm.mjs';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const scratch = scratchFolder('tensorboard');
const run = path.join(scratch, 'run');
const reader = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'tensors': 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
  'scalars': {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags['scalars']},
  'texts': {
    tag: [[e.step, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(tag)] for tag in tags['tensors']
  },
}))
`;

/** @param {...string} args */
const train = (...args) => clm('train', ...args, '--quiet', '--log', 'tensorboard', '--log', 'csv');
/** @param {string} what @param {boolean} isTrue */
const check = (what, isTrue) => {
  if (!isTrue) throw new Error(`not so: ${what}`);
  print(what);
};

const set = [
  'training.steps=6',
  'evaluation.everySteps=3',
  'checkpoints.everySteps=4',
  'samples.everySteps=3',
  'samples.maxTokens=30',
  'corpus.validation.tail=0.002',
  'model.layers=1',
];
train(path.join(root, 'configs/moby-dick.yaml'), '--run', run, ...set.flatMap((assignment) => ['--set', assignment]));
// As if it had been stopped after the checkpoint of step 4: steps 5 and 6 are written again.
rmSync(path.join(run, 'checkpoints/step-00000006'), { recursive: true });
train('--run', run, '--resume', '--set', 'training.steps=8');
check('two event files', readdirSync(path.join(run, 'tensorboard')).length === 2);
const { scalars, texts } = JSON.parse(output(python, ['-c', reader, path.join(run, 'tensorboard')]));
const records = jsonLines(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8'));
for (const [tag, kind, key] of [
  ['training/loss', 'step', 'loss'],
  ['training/learningRate', 'step', 'learningRate'],
  ['training/gradientNorm', 'step', 'gradientNorm'],
  ['training/tokensPerSecond', 'step', 'tokensPerSecond'],
  ['validation/loss', 'evaluation', 'loss'],
  ['validation/bitsPerByte', 'evaluation', 'bitsPerByte'],
]) {
  const expected = records
    .filter((record) => record.kind === kind)
    .map((record) => [record.step, Math.fround(record[key])]);
  check(
    `${tag}: ${expected.length} values as in metrics.jsonl`,
    expected.length > 2 && JSON.stringify(scalars[tag]) === JSON.stringify(expected),
  );
}
const sample = readFileSync(path.join(run, 'samples/step-00000006.txt'), 'utf8');
const [step, text] = texts.sample.at(-1);
check(
  'the last completion',
  step === 6 &&
    text
      .split('\n')
      .map((/** @type {string} */ line) => line.slice(4))
      .join('\n') === sample,
);
const rows = readFileSync(path.join(run, 'metrics.csv'), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((row) => row.split(','));
const logged = records.filter(({ kind }) => kind !== 'checkpoint');
check(
  `metrics.csv: ${rows.length} rows as in metrics.jsonl`,
  rows.length === logged.length &&
    rows.every(
      ([kind, step, loss], i) =>
        kind === logged[i].kind && Number(step) === logged[i].step && Number(loss) === logged[i].loss,
    ),
);
// A run that has lost its checkpoints begins anew: what the earlier files say of it is forgotten.
rmSync(path.join(run, 'checkpoints'), { recursive: true });
train(
  path.join(root, 'configs/moby-dick.yaml'),
  '--run',
  run,
  ...set.flatMap((assignment) => ['--set', assignment]),
  '--set',
  'training.steps=2',
);
const anew = JSON.parse(output(python, ['-c', reader, path.join(run, 'tensorboard')])).scalars;
check(
  'a run begun anew: only its own steps',
  JSON.stringify(anew['training/loss'].map((/** @type {number[]} */ [step]) => step)) === '[1,2]' &&
    JSON.stringify(anew['validation/loss'].map((/** @type {number[]} */ [step]) => step)) === '[0,2]',
);
