// npm run check -- completions --python PYTHON: greedy completions against transformers' generate, 20 prompts and 256
// tokens of a random GPT-2 and a random Llama, alone and in a batch; and what the samplers keep of 1,000 random logits
// against its logits processors. PYTHON has torch and transformers. Exit code 1 where anything differs.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { filteredScores } from '../../../dist/sampling/sampler.js';

const at = process.argv.indexOf('--python');
const python = at < 0 ? 'python3' : process.argv[at + 1];
const root = path.resolve(import.meta.dirname, '../../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-completions-'));
const run = (command, args) => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return stdout;
};
const clm = (...args) => run(process.execPath, ['dist/cli/main.js', ...args]);
const objects = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const report = (what, right, of) => {
  process.stdout.write(`${right === of ? 'ok' : 'DIFFERS'}: ${what}: ${right} of ${of}\n`);
  if (right !== of) process.exitCode = 1;
};

try {
  run(python, ['scripts/check/references/completions.py', scratch]);
  for (const model of ['gpt2', 'llama']) {
    const imported = path.join(scratch, `${model}-run`);
    clm('import', path.join(scratch, model), '--run', imported);
    const expected = objects(readFileSync(path.join(scratch, `${model}.jsonl`), 'utf8'));
    const prompts = path.join(scratch, 'prompts.jsonl');
    writeFileSync(prompts, expected.map(({ prompt }) => `${JSON.stringify({ prompt })}\n`).join(''));
    for (const batch of ['1', '8']) {
      const made = objects(
        clm(
          'sample',
          imported,
          '--prompts',
          prompts,
          '--temperature',
          '0',
          '--max-tokens',
          '256',
          '--batch',
          batch,
          '--json',
          '--quiet',
        ),
      );
      const equal = expected.filter(
        ({ tokenIds }, i) => tokenIds.length === 256 && JSON.stringify(tokenIds) === JSON.stringify(made[i].tokenIds),
      );
      report(
        `${model}: greedy completions of 256 tokens equal to transformers', batch ${batch}`,
        equal.length,
        expected.length,
      );
    }
    const distinct = new Set(expected.flatMap(({ tokenIds }) => tokenIds)).size;
    process.stdout.write(`${model}: ${distinct} different tokens occur\n`);
  }

  const settings = JSON.parse(readFileSync(path.join(scratch, 'settings.json'), 'utf8'));
  const floats = (file, Type) => {
    const { buffer, byteOffset, byteLength } = readFileSync(path.join(scratch, file));
    return new Type(buffer.slice(byteOffset, byteOffset + byteLength));
  };
  const logits = floats('logits.bin', Float32Array);
  const scores = floats('scores.bin', Float64Array);
  const V = logits.length / settings.length;
  let sets = 0;
  let values = 0;
  let kept = 0;
  for (const [i, { seen, logitBias, ...rest }] of settings.entries()) {
    const bias = new Map(Object.entries(logitBias).map(([id, value]) => [Number(id), value]));
    const ours = filteredScores(
      logits.subarray(i * V, (i + 1) * V),
      { ...rest, logitBias: bias },
      { seen: new Set(seen), forbidden: [] },
    );
    const theirs = scores.subarray(i * V, (i + 1) * V);
    if (ours.every((score, id) => score > -Infinity === theirs[id] > -Infinity)) sets++;
    if (ours.every((score, id) => score === theirs[id] || Math.abs(score - theirs[id]) < 1e-9 * Math.abs(score)))
      values++;
    kept += ours.filter((score) => score > -Infinity).length;
  }
  report("kept sets equal to transformers' logits processors", sets, settings.length);
  report('and their scores, to 1e-9', values, settings.length);
  process.stdout.write(`on average ${(kept / settings.length).toFixed(1)} of ${V} tokens are kept\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
