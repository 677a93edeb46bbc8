/**
 * Measures speed and memory of sampling, in turns with transformers because machines drift.
 *
 *   npm run measure -- sampling --python PYTHON [--parts single,batch,…] [--rounds 3]
 *
 * PYTHON has torch and transformers. The model is a random GPT-2 of 124M parameters that transformers saves and clm
 * imports. Parts: single (one prompt), batch (8 prompts), bfloat16, prefill, cache (memory of keys and values); and
 * with a small model of configs/moby-dick.yaml, without PYTHON: small (speed), prompts (memory of 10,000 prompts).
 * Linux only.
 *
 * Time: 1 to 3 minutes a part; 1 minute for "--parts small"
 */
import { existsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { keyValueCacheBytes } from '#clm/training/plan/memory.js';
import { clm, print, program, root, run, scratchFolder } from '../lib/clm.mjs';
import { server } from '../lib/lineServer.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { median } from '../lib/statistics.mjs';
import { writeWideTokenizer } from '../lib/wideTokenizer.mjs';

/** @type {Record<string, () => Promise<void>>} */
const parts = { single, batch, bfloat16, prefill, cache, small, prompts };
const text = /** @type {const} */ ({ type: 'string' });
const { values: options } = parseArgs({
  options: {
    python: { ...text, default: 'python3' },
    parts: { ...text, default: Object.keys(parts).join() },
    rounds: { ...text, default: '3' },
  },
});
const asked = options.parts.split(',');
const unknown = asked.find((part) => !(part in parts));
if (unknown) throw new Error(`--parts: ${unknown} is none of ${Object.keys(parts)}`);
const scratch = scratchFolder('sampling');
const at = (/** @type {string} */ name) => path.join(scratch, name);
const gpt2 = { layers: 12, width: 768, keyValueHeads: 12, headSize: 64, contextLength: 1024, vocabulary: 50_257 };
/** Prompts and completions of these many tokens. */
const size = { promptTokens: 32, tokens: 64 };

const share = (/** @type {number} */ ratio) => `${(100 * ratio).toFixed(0)} %`;

const transformers = () =>
  server(options.python, ['scripts/measure/sampling/huggingface.py', 'serve', at('huggingface')]);
/** @param {'float32' | 'bfloat16'} weights @param {number} slots */
const clmServer = (weights, slots) =>
  server(process.execPath, ['scripts/measure/sampling/serve.mjs', at('gpt2'), weights, String(slots)]);

/** GB/s by a program that only reads; of float32 weights a token needs all but the positions. */
const memoryGigabytesPerSecond = () => Number(run(at('memory-read'), []));
const bytesOfToken = (/** @type {number} */ bytesOfWeight) =>
  (12 * 12 * gpt2.width ** 2 + gpt2.vocabulary * gpt2.width) * bytesOfWeight;

/**
 * Tokens per second of each server in turn, the medians of the rounds, after one that does not count.
 * @param {import('../lib/lineServer.mjs').Server[]} servers
 * @param {{ batch: number, promptTokens: number, tokens: number }} question
 */
async function inTurns(servers, question) {
  /** @type {number[][]} */
  const speeds = servers.map(() => []);
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const [i, each] of servers.entries()) {
      const { seconds } = await each.ask(question);
      if (round > 0) speeds[i].push((question.batch * question.tokens) / seconds);
      await new Promise((resolve) => setTimeout(resolve, 300)); // threads that spin come to rest
    }
  }
  return speeds.map(median);
}

async function single() {
  const servers = [await clmServer('float32', 1), await transformers()];
  const before = memoryGigabytesPerSecond();
  const [ours, theirs] = await inTurns(servers, { batch: 1, ...size });
  const bandwidth = Math.max(before, memoryGigabytesPerSecond());
  const bound = (bandwidth * 1e9) / bytesOfToken(4);
  const { version, torch } = servers[1].greeting;
  print(
    `single: clm ${ours.toFixed(1)} tokens/s, transformers ${version} (torch ${torch}) ${theirs.toFixed(1)}: ` +
      `ratio ${(ours / theirs).toFixed(2)}`,
  );
  print(
    `        the memory's speed (${bandwidth.toFixed(1)} GB/s) allows ${bound.toFixed(1)} tokens/s: clm reaches ` +
      share(ours / bound),
  );
  await Promise.all(servers.map(({ stop }) => stop()));
}

async function batch() {
  const servers = [await clmServer('float32', 8), await clmServer('float32', 1)];
  const speeds = [];
  for (let round = 0; round <= Number(options.rounds); round++) {
    const eight = await servers[0].ask({ batch: 8, ...size });
    const one = await servers[1].ask({ batch: 1, ...size });
    if (round > 0) speeds.push({ eight: (8 * size.tokens) / eight.seconds, one: size.tokens / one.seconds });
  }
  const eight = median(speeds.map((each) => each.eight));
  const one = median(speeds.map((each) => each.one));
  const ratio = median(speeds.map((each) => each.eight / each.one));
  print(`batch: 8 prompts ${eight.toFixed(0)} tokens/s, one ${one.toFixed(1)}: ratio ${ratio.toFixed(2)}`);
  await Promise.all(servers.map(({ stop }) => stop()));
}

async function bfloat16() {
  const servers = [await clmServer('float32', 1), await clmServer('bfloat16', 1)];
  const [floats, halves] = await inTurns(servers, { batch: 1, ...size });
  const bytes = [];
  for (const each of servers) bytes.push((await each.ask({ batch: 1, ...size })).residentBytes);
  const { parameters } = servers[0].greeting;
  print(`bfloat16: ${halves.toFixed(1)} tokens/s, float32 ${floats.toFixed(1)}: ratio ${(halves / floats).toFixed(2)}`);
  print(
    `          resident ${(bytes[1] / 1e6).toFixed(0)} MB against ${(bytes[0] / 1e6).toFixed(0)}: ` +
      `${((bytes[0] - bytes[1]) / 1e6).toFixed(0)} MB less; half the weights are ${(parameters / 5e5).toFixed(0)} MB`,
  );
  await Promise.all(servers.map(({ stop }) => stop()));
}

async function prefill() {
  const T = 512;
  const { ask, stop } = await clmServer('float32', 1);
  const { layers, width } = gpt2;
  // As `clm bench` counts: products with weights (the head for one row), and attention over whole squares.
  const flops = T * (2 * 12 * layers * width ** 2 + 4 * layers * width * T) + 2 * gpt2.vocabulary * width;
  await ask({ prefill: T });
  /** @type {{ seconds: number, share: number, gflops: number }[]} */
  const shares = [];
  for (let round = 0; round < 3 * Number(options.rounds); round++) {
    const before = await ask({ matmul: true });
    const { seconds } = await ask({ prefill: T });
    shares.push({ seconds, share: flops / seconds / 1e9 / before.gflops, gflops: before.gflops });
  }
  const of = (/** @type {'seconds' | 'share' | 'gflops'} */ field) => median(shares.map((each) => each[field]));
  print(
    `prefill: ${T} tokens in ${(1000 * of('seconds')).toFixed(0)} ms, ${share(of('share'))} of the matmul peak ` +
      `(${of('gflops').toFixed(0)} GFLOP/s)`,
  );
  await stop();
}

async function cache() {
  const resident = [];
  for (const slots of [1, 9]) {
    const { ask, stop } = await clmServer('float32', slots);
    resident.push((await ask({ batch: 1, promptTokens: gpt2.contextLength - 4, tokens: 3 })).residentBytes);
    await stop();
  }
  const planned = keyValueCacheBytes(
    /** @type {Parameters<typeof keyValueCacheBytes>[0]} */ (/** @type {unknown} */ (gpt2)),
  );
  const measured = (resident[1] - resident[0]) / 8;
  print(
    `cache: ${(measured / 1e6).toFixed(1)} MB a text of ${gpt2.contextLength} tokens by resident memory, planned ` +
      `${(planned / 1e6).toFixed(1)}: ratio ${(measured / planned).toFixed(3)}`,
  );
}

/** The small model, trained once for all parts that need it. */
function trainSmall() {
  if (existsSync(at('small'))) return;
  const set = ['--set', 'training.steps=20', '--set', 'samples.everySteps=null'];
  clm('train', 'configs/moby-dick.yaml', '--run', at('small'), ...set, '--quiet');
}

async function small() {
  trainSmall();
  const made = [];
  for (let round = 0; round < Number(options.rounds); round++)
    made.push(JSON.parse(clm('sample', at('small'), '--prompt', 'Call me', '--max-tokens', '1000', '--json')));
  const speed = median(made.map(({ tokensPerSecond }) => tokensPerSecond));
  const firstMs = median(made.map(({ firstTokenMs }) => firstTokenMs));
  print(
    `small: ${speed.toFixed(0)} tokens/s over 1,000 tokens; first token ${firstMs.toFixed(0)} ms after the process ` +
      'starts',
  );
}

/** Memory of a process that completes many prompts, against one that completes a tenth of them. */
async function prompts() {
  trainSmall();
  const peaks = [];
  for (const count of [1_000, 10_000]) {
    writeFileSync(at('prompts.txt'), Array.from({ length: count }, (_, i) => `Call number ${i}`).join('\n'));
    const args = [
      program,
      'sample',
      at('small'),
      '--prompts',
      at('prompts.txt'),
      '--output',
      at(`${count}.jsonl`),
      '--max-tokens',
      '8',
      '--quiet',
    ];
    const { peakMib, seconds } = await measureProcess(process.execPath, args, root);
    peaks.push(`${count.toLocaleString('en-US')} prompts ${peakMib.toFixed(0)} MiB in ${seconds.toFixed(0)} s`);
  }
  print(`prompts: peak of ${peaks.join(', of ')}`);
}

print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
if (asked.some((part) => part !== 'small' && part !== 'prompts')) {
  run('c++', [
    '-O3',
    '-march=native',
    '-std=c++17',
    '-pthread',
    path.join(import.meta.dirname, 'sampling/memory-read.cc'),
    '-o',
    at('memory-read'),
  ]);
  run(options.python, ['scripts/measure/sampling/huggingface.py', 'make', at('huggingface')]);
  writeWideTokenizer(path.join(at('huggingface'), 'tokenizer.json'), gpt2.vocabulary);
  clm('import', at('huggingface'), '--run', at('gpt2'), '--quiet');
}
for (const part of asked) await parts[part]();
