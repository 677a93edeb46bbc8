// Speed and memory of sampling, paired with transformers in turns, because machines drift.
//
// npm run measure -- sampling --python PYTHON [--parts single,batch,bfloat16,prefill,cache,small,prompts] [--rounds 3]
//
// PYTHON has torch and transformers. The model is a random GPT-2 of 124M parameters that transformers saves and clm
// imports; `small` and `prompts` take configs/moby-dick.yaml. Linux only: /proc. A part takes one to three minutes.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { keyValueCacheBytes } from '../../dist/training/plan/memory.js';
import { measureProcess } from '../lib/measureProcess.mjs';
import { writeWideTokenizer } from '../lib/wideTokenizer.mjs';

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
const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-sampling-'));
const at = (name) => path.join(scratch, name);
const gpt2 = { layers: 12, width: 768, keyValueHeads: 12, headSize: 64, contextLength: 1024, vocabulary: 50_257 };
/** Prompts and completions of these many tokens. */
const size = { promptTokens: 32, tokens: 64 };

const say = (line) => process.stdout.write(`${line}\n`);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const share = (ratio) => `${(100 * ratio).toFixed(0)} %`;

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return stdout;
}
const clm = (...args) => run(process.execPath, ['dist/cli/main.js', ...args]);

/** A process that answers a line of JSON with one; its first line is its greeting. */
async function server(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended early`);
    return JSON.parse(value);
  };
  const greeting = await answer();
  const ask = async (question) => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return answer();
  };
  const stop = () => new Promise((resolve) => child.once('close', resolve).stdin.end());
  return { greeting, ask, stop };
}
const transformers = () =>
  server(options.python, ['scripts/measure/sampling/huggingface.py', 'serve', at('huggingface')]);
const clmServer = (weights, slots) =>
  server(process.execPath, ['scripts/measure/sampling/serve.mjs', at('gpt2'), weights, String(slots)]);

/** GB/s by a program that only reads; of float32 weights a token needs all but the positions. */
const memoryGigabytesPerSecond = () => Number(run(at('memory-read'), []));
const bytesOfToken = (bytesOfWeight) => (12 * 12 * gpt2.width ** 2 + gpt2.vocabulary * gpt2.width) * bytesOfWeight;

/** Tokens per second of each server in turn, the medians of the rounds, after one that does not count. */
async function inTurns(servers, question) {
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
  say(
    `single: clm ${ours.toFixed(1)} tokens/s, transformers ${version} (torch ${torch}) ${theirs.toFixed(1)}: ratio ${(ours / theirs).toFixed(2)}`,
  );
  say(
    `        bound by memory (${bandwidth.toFixed(1)} GB/s) ${bound.toFixed(1)} tokens/s: clm reaches ${share(ours / bound)}`,
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
  say(
    `batch: 8 prompts ${eight.toFixed(0)} tokens/s, one ${median(speeds.map(({ one }) => one)).toFixed(1)}: ratio ${median(speeds.map((each) => each.eight / each.one)).toFixed(2)}`,
  );
  await Promise.all(servers.map(({ stop }) => stop()));
}

async function bfloat16() {
  const servers = [await clmServer('float32', 1), await clmServer('bfloat16', 1)];
  const [floats, halves] = await inTurns(servers, { batch: 1, ...size });
  const bytes = [];
  for (const each of servers) bytes.push((await each.ask({ batch: 1, ...size })).residentBytes);
  const { parameters } = servers[0].greeting;
  say(`bfloat16: ${halves.toFixed(1)} tokens/s, float32 ${floats.toFixed(1)}: ratio ${(halves / floats).toFixed(2)}`);
  say(
    `          resident ${(bytes[1] / 1e6).toFixed(0)} MB against ${(bytes[0] / 1e6).toFixed(0)}: ${((bytes[0] - bytes[1]) / 1e6).toFixed(0)} MB less; half the weights are ${((parameters * 2) / 1e6).toFixed(0)} MB`,
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
  const shares = [];
  for (let round = 0; round < 3 * Number(options.rounds); round++) {
    const before = await ask({ matmul: true });
    const { seconds } = await ask({ prefill: T });
    shares.push({ seconds, share: flops / seconds / 1e9 / before.gflops, gflops: before.gflops });
  }
  const of = (field) => median(shares.map((each) => each[field]));
  say(
    `prefill: ${T} tokens in ${(1000 * of('seconds')).toFixed(0)} ms, ${share(of('share'))} of the matmul peak (${of('gflops').toFixed(0)} GFLOP/s)`,
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
  const planned = keyValueCacheBytes(gpt2);
  const measured = (resident[1] - resident[0]) / 8;
  say(
    `cache: ${(measured / 1e6).toFixed(1)} MB a text of ${gpt2.contextLength} tokens by resident memory, planned ${(planned / 1e6).toFixed(1)}: ratio ${(measured / planned).toFixed(3)}`,
  );
}

function trainSmall() {
  clm(
    'train',
    'configs/moby-dick.yaml',
    '--run',
    at('small'),
    '--set',
    'training.steps=20',
    '--set',
    'samples.everySteps=null',
    '--quiet',
  );
}

async function small() {
  trainSmall();
  const made = [];
  for (let round = 0; round < Number(options.rounds); round++)
    made.push(JSON.parse(clm('sample', at('small'), '--prompt', 'Call me', '--max-tokens', '1000', '--json')));
  say(
    `small: ${median(made.map(({ tokensPerSecond }) => tokensPerSecond)).toFixed(0)} tokens/s over 1,000 tokens; first token ${median(made.map(({ firstTokenMs }) => firstTokenMs)).toFixed(0)} ms after the process starts`,
  );
}

/** Memory of a process that completes many prompts, against one that completes a tenth of them. */
async function prompts() {
  trainSmall();
  const peaks = [];
  for (const count of [1_000, 10_000]) {
    writeFileSync(at('prompts.txt'), Array.from({ length: count }, (_, i) => `Call number ${i}`).join('\n'));
    const args = [
      'dist/cli/main.js',
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
  say(`prompts: peak of ${peaks.join(', of ')}`);
}

say(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
try {
  if (asked.some((part) => part !== 'small' && part !== 'prompts')) {
    run('c++', [
      '-O3',
      '-march=native',
      '-std=c++17',
      '-pthread',
      'scripts/measure/sampling/memory-read.cc',
      '-o',
      at('memory-read'),
    ]);
    run(options.python, ['scripts/measure/sampling/huggingface.py', 'make', at('huggingface')]);
    writeWideTokenizer(path.join(at('huggingface'), 'tokenizer.json'), gpt2.vocabulary);
    clm('import', at('huggingface'), '--run', at('gpt2'), '--quiet');
  }
  for (const part of asked) await parts[part]();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
