/**
 * Compares generation by clm, transformers (PyTorch) and llama.cpp: tokens per second, first token, reading a prompt.
 *
 *   npm run compare -- decoding [--python PYTHON] [--rounds 3] [--rows "first token,prefill 512,…"] [--folder FOLDER]
 *
 * The model is random: the Llama kind, 126M parameters, 16 layers. All use the same number of threads, and take turns
 * because machines drift; medians are printed. PYTHON has torch, transformers and gguf; without it they are installed
 * into a folder of their own, as is node-llama-cpp from npm. Where llama.cpp does not run, its column is empty.
 * What is made first, the models and packages, is kept in FOLDER for the next time if one is given. Linux only.
 *
 * Time: 6 minutes, and the downloads
 */
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, print, program, run, scratchFolder } from '../lib/clm.mjs';
import { server } from '../lib/lineServer.mjs';
import { median } from '../lib/statistics.mjs';
import { writeWideTokenizer } from '../lib/wideTokenizer.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values: options } = parseArgs({
  options: { python: text, rounds: { ...text, default: '3' }, rows: text, folder: text },
});
const scratch = options.folder ?? scratchFolder('decoding');
const at = (/** @type {string} */ name) => path.join(scratch, name);
const threads = os.availableParallelism();
const rounds = Number(options.rounds);
const script = path.join(import.meta.dirname, 'decoding/huggingFace.py');
const llamaCppScript = path.join(import.meta.dirname, 'decoding/llamaCpp.mjs');
const llamaCppVersion = '3.21.1';

/** @typedef {{ weights: 'float32' | 'bfloat16' | 'int8', batch: number, promptTokens: number, tokens: number }} Work */
/** @type {Record<string, Work | 'first'>} */
const rows = {
  'one prompt, float32, tokens/s': { weights: 'float32', batch: 1, promptTokens: 32, tokens: 64 },
  'one prompt, bfloat16, tokens/s': { weights: 'bfloat16', batch: 1, promptTokens: 32, tokens: 64 },
  'one prompt, int8 (q8_0), tokens/s': { weights: 'int8', batch: 1, promptTokens: 32, tokens: 64 },
  'eight prompts, float32, tokens/s': { weights: 'float32', batch: 8, promptTokens: 32, tokens: 64 },
  'first token after process start, ms': 'first',
  'prefill 512, tokens/s': { weights: 'float32', batch: 1, promptTokens: 512, tokens: 1 },
  'prefill 4,096, tokens/s': { weights: 'float32', batch: 1, promptTokens: 4096, tokens: 1 },
};

/** A Python that has what is needed. */
function preparedPython() {
  if (existsSync(at('python'))) return at('python/bin/python');
  run('python3', ['-m', 'venv', at('python')]);
  run(at('python/bin/pip'), ['install', '--quiet', 'torch', 'transformers', 'gguf', 'safetensors']);
  return at('python/bin/python');
}

/** The folder of node-llama-cpp; null where it cannot be had. */
function llamaCppFolder() {
  const folder = at('npm/node_modules/node-llama-cpp');
  if (existsSync(folder)) return folder;
  try {
    run('npm', ['install', '--prefix', at('npm'), '--ignore-scripts', `node-llama-cpp@${llamaCppVersion}`]);
    return folder;
  } catch (error) {
    print(`llama.cpp is left out: ${/** @type {Error} */ (error).message.split('\n').slice(0, 3).join(' ')}`);
    return null;
  }
}

const python = options.python ?? preparedPython();
const llamaCpp = llamaCppFolder();
const ggufTypes = { float32: 'F32', bfloat16: 'BF16', int8: 'Q8_0' };
if (!existsSync(at('run'))) {
  run(python, [script, 'make', at('model')]);
  writeWideTokenizer(at('model/tokenizer.json'), 32_768);
  clm('import', at('model'), '--run', at('run'), '--quiet');
}
for (const type of llamaCpp === null ? [] : Object.values(ggufTypes))
  if (!existsSync(at(`${type}.gguf`))) run(python, [script, 'gguf', at('model'), at(`${type}.gguf`), type]);

/** What each program runs as a server, or to its first token; null if it cannot. @type {Record<string, any>} */
const programs = {
  clm: {
    serve: (/** @type {Work} */ { weights, batch }) =>
      server(process.execPath, ['scripts/measure/sampling/serve.mjs', at('run'), weights, String(batch)]),
    first: () => {
      const asked = ['--prompt', 'Once upon', '--max-tokens', '1', '--temperature', '0', '--json'];
      return JSON.parse(run(process.execPath, [program, 'sample', at('run'), ...asked])).firstTokenMs;
    },
  },
  transformers: {
    serve: (/** @type {Work} */ { weights }) =>
      weights === 'int8' ? null : server(python, [script, 'serve', at('model'), weights]),
    first: () => JSON.parse(run(python, [script, 'first', at('model')])).ms,
  },
  'llama.cpp': llamaCpp && {
    serve: (/** @type {Work} */ { weights, batch }) => server(process.execPath, llamaCppArguments(weights, batch)),
    first: () => JSON.parse(run(process.execPath, [...llamaCppArguments('float32', 1), 'first'])).ms,
  },
};

/** @param {Work['weights']} weights @param {number} slots */
function llamaCppArguments(weights, slots) {
  return [llamaCppScript, String(llamaCpp), at(`${ggufTypes[weights]}.gguf`), String(slots), String(threads)];
}

/** Medians of the programs' figures, in turns; the first round does not count. @param {Work | 'first'} work */
async function measured(work) {
  /** @type {Record<string, any>} */
  const servers = {};
  for (const [name, each] of Object.entries(programs)) {
    const started = each && (work === 'first' ? { first: each.first } : await each.serve(work));
    if (started) servers[name] = started;
  }
  /** @type {Record<string, number[]>} */
  const figures = Object.fromEntries(Object.keys(servers).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++)
    for (const [name, each] of Object.entries(servers)) {
      const figure = work === 'first' ? each.first() : speed(work, (await each.ask(work)).seconds);
      if (round > 0) figures[name].push(figure);
      await new Promise((resolve) => setTimeout(resolve, 300)); // threads that spin come to rest
    }
  if (work !== 'first') await Promise.all(Object.values(servers).map(({ stop }) => stop()));
  return Object.fromEntries(Object.entries(figures).map(([name, all]) => [name, median(all)]));
}

/** Tokens per second: of the prompt if only one is generated. @param {Work} work @param {number} seconds */
const speed = ({ batch, promptTokens, tokens }, seconds) => (batch * (tokens === 1 ? promptTokens : tokens)) / seconds;

const asked = options.rows?.split(',').map((name) => name.trim());
const names = Object.keys(programs);
const line = (/** @type {string} */ name, /** @type {string[]} */ cells) =>
  print(`${name.padEnd(38)}${cells.map((cell) => cell.padStart(14)).join('')}`);
print(`${os.cpus()[0].model.trim()}, ${threads} threads, Node ${process.versions.node}`);
line('', names);
for (const [name, work] of Object.entries(rows)) {
  if (asked !== undefined && !asked.some((part) => name.includes(part))) continue;
  const figures = await measured(work);
  line(
    name,
    names.map((each) => (figures[each] === undefined ? '–' : figures[each].toFixed(figures[each] < 100 ? 1 : 0))),
  );
}
