/**
 * The round trip against transformers: random tiny models of every kind, saved by transformers → imported → trained
 * for three steps → exported; transformers then loads the folder and must give clm's logits and token ids.
 *
 *     npm run check:transformers -- --python PYTHON
 *
 * PYTHON needs torch, transformers and safetensors. The models are those of test/huggingface/fixtures.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { python } = parseArgs({ options: { python: { type: 'string', default: 'python3' } } }).values;
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const fixtures = path.join(root, 'test/huggingface/fixtures');
const folder = mkdtempSync(path.join(tmpdir(), 'clm-transformers-'));
const clm = (...args) => execFileSync(process.execPath, [path.join(root, 'dist/cli/main.js'), ...args], { encoding: 'utf8' });
const text = 'abcdefghijklm'.repeat(60) + 'mlkjihgfedcba'.repeat(60);
const seen = 'fedcbaa'; // as many characters as the fixtures' context
writeFileSync(path.join(folder, 'text.txt'), text);

const check = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text, own, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
assert tokenizer.encode(text, add_special_tokens=False) == ids, (tokenizer.encode(text), ids)
assert tokenizer.decode(ids) == text, tokenizer.decode(ids)
logits = model(torch.tensor([ids])).logits[0]
own = torch.tensor(own).view_as(logits)
difference = ((logits - own).abs().max() / own.abs().max()).item()
print(json.dumps({"class": type(model).__name__, "difference": difference}))
`;

const dist = (file) => import(path.join(root, 'dist', file));
const { loadCheckpoint } = await dist('checkpoint/checkpoint.js');
const { resolveCheckpoint } = await dist('checkpoint/find.js');
const { parseResolvedConfig } = await dist('config/load.js');
const { tokenizerFromFile } = await dist('data/tokenizers/tokenizerFile.js');
const { decode } = await dist('model/decoder.js');
const { openSession } = await dist('runtime/openSession.js');

/** Token ids of the text and the logits at each, by the last checkpoint of a run. */
async function clmLogits(run) {
  const checkpoint = await loadCheckpoint(await resolveCheckpoint(run, 'last'), { optimizer: false });
  const { model } = parseResolvedConfig(checkpoint.configText, 'config.yaml');
  const tokenIds = tokenizerFromFile(checkpoint.tokenizerText, 'tokenizer.json').encode(seen);
  const T = tokenIds.length;
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  await session.addVariables(checkpoint.model);
  const program = session.program('logits', { inputs: { shape: [T], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(checkpoint.model.map(({ name }) => [name, variables.read(name)]));
    return { logits: decode(parameters, feeds.inputs, { model, batchSize: 1, positions: T, dropout: null }) };
  });
  const { logits } = await program.run({ inputs: tokenIds });
  session.close();
  return { logits: [...logits], tokenIds: [...tokenIds] };
}

let worst = 0;
try {
  for (const name of readdirSync(fixtures)) {
    const run = path.join(folder, name);
    clm('import', path.join(fixtures, name), '--run', run, '--quiet');
    const config = path.join(folder, `${name}.yaml`);
    writeFileSync(
      config,
      `corpus: { sources: [{ path: text.txt }] }\nstart: { from: ${run} }\ntraining: { steps: 3, microBatchSize: 3 }\n` +
        'schedule: { warmupSteps: 0 }\noptimizer: { learningRate: 1e-2 }\nsamples: { everySteps: null, prompt: a }\n',
    );
    const trained = path.join(folder, `${name}-trained`);
    clm('train', config, '--run', trained, '--quiet');
    for (const [what, source] of [['imported', run], ['trained', trained]]) {
      const directory = path.join(folder, `${name}-${what}-export`);
      clm('export', source, directory, '--quiet');
      const { logits, tokenIds } = await clmLogits(source);
      const answer = execFileSync(python, ['-c', check, directory, seen, JSON.stringify(logits), JSON.stringify(tokenIds)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      const { class: loaded, difference } = JSON.parse(answer.trim().split('\n').at(-1));
      worst = Math.max(worst, difference);
      console.log(`${name.padEnd(14)} ${what.padEnd(9)} ${loaded.padEnd(20)} largest difference of the logits ${difference.toExponential(1)}, relative`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (worst > 1e-5) {
  console.error(`The largest difference is ${worst}, above 1e-5.`);
  process.exit(1);
}
