/**
 * Imports folders put together at random from what people's folders have: config keys in the spellings of transformers
 * 4 and 5, shared, missing, doubled and prefixed tensors, shards and stale indexes. Each must import as the model whose
 * logits roundTrip.test.ts compares with transformers', or be refused by the name of what is wrong.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../../src/config/load.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { randomStream } from '../../src/random.ts';
import { withSafetensors, writeSafetensors } from '../../src/tensors/safetensors.ts';
import type { NamedTensor } from '../../src/tensors/tensors.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';
import { answers, fixture, fixtureNames, reference, relativeDifference } from './fixtures.ts';

const folder = useTemporaryFolder();

/** A folder in memory, as the changes below leave it. */
interface Draft {
  config: Record<string, unknown>;
  tensors: NamedTensor[];
  /** Tensors by file. null is the index; undefined is one whole file. */
  files: Map<string, NamedTensor[]>;
  index: Record<string, string> | null;
  /** What a refusal must name, one of them. */
  refusals: string[];
  /** The head that the import must have beside the parameters of the fixture. */
  head: NamedTensor | null;
  /** What the warnings must contain. */
  warnings: string[];
}

type Change = (draft: Draft, choose: (count: number) => number) => void;

const prefixOf = ({ config }: Draft): string => (config['model_type'] === 'gpt2' ? 'transformer.' : 'model.');
const isEmbedding = ({ name }: NamedTensor): boolean => /(^|\.)(wte|embed_tokens)\.weight$/.test(name);
const isHead = ({ name }: NamedTensor): boolean => name.endsWith('lm_head.weight');
const isTied = ({ config }: Draft): boolean =>
  (config['tie_word_embeddings'] ?? config['model_type'] === 'gpt2') === true;
const scaled = ({ name, shape, values }: NamedTensor, factor: number): NamedTensor => ({
  name,
  shape,
  values: values.map((value) => factor * value),
});
const renamed = (draft: Draft, rename: (name: string) => string): void => {
  draft.tensors = draft.tensors.map((tensor) => ({ ...tensor, name: rename(tensor.name) }));
};
const nothing: Change = () => {};

const rope = (change: (draft: Draft, theta: unknown, scaling: Record<string, unknown> | null) => void): Change => {
  return (draft) => {
    const parameters = draft.config['rope_parameters'] as Record<string, unknown> | undefined;
    if (parameters === undefined) return;
    const { rope_theta: theta, ...scaling } = parameters;
    change(draft, theta, scaling['rope_type'] === 'default' ? null : scaling);
  };
};
const decoy = { rope_type: 'linear', factor: 9, rope_theta: 9000 };
const spellings: Change[] = [
  nothing,
  rope(({ config }, theta, scaling) => {
    const { rope_type: type, ...rest } = scaling ?? {};
    Object.assign(config, { rope_theta: theta, rope_scaling: scaling && { type, ...rest } });
    delete config['rope_parameters'];
  }),
  rope(({ config }, theta, scaling) => Object.assign(config, { rope_theta: theta, rope_scaling: scaling })),
  rope((draft) => {
    draft.config['rope_theta'] = 9000;
    draft.warnings.push('rope_theta is 9000');
  }),
  rope((draft, theta, scaling) => {
    const one = { ...(scaling ?? { rope_type: 'default' }), rope_theta: theta };
    Object.assign(draft.config, { rope_scaling: one, rope_parameters: decoy });
    draft.warnings.push('rope_scaling and rope_parameters differ');
  }),
  rope(({ config, refusals }, theta) => {
    config['rope_parameters'] = { rope_type: 'yarn', factor: 2, rope_theta: theta };
    refusals.push('"yarn"');
  }),
];

const keys: Change[] = [
  nothing,
  ({ config }) => Object.assign(config, { unsloth_fixed: true, _num_labels: 1, use_mrope: false, auto_map: {} }),
  ({ config }) => Object.assign(config, { pretraining_tp: 4, temperature: 0.7, neftune_noise_alpha: 5, strange: null }),
  ({ config, warnings }) => {
    if (!['qwen2', 'mistral'].includes(config['model_type'] as string)) return;
    config['attention_bias'] = true;
    warnings.push('attention_bias is true');
  },
  ({ config, refusals }) => {
    config['logit_scale'] = 2;
    refusals.push('logit_scale (2) is not known to clm');
  },
  ({ config, refusals }) => {
    config['quantization_config'] = { bits: 4 };
    refusals.push('quantization_config');
  },
];

const heads: Change[] = [
  nothing,
  (draft) => {
    if (!isTied(draft)) return;
    draft.tensors.push({ ...draft.tensors.find(isEmbedding)!, name: 'lm_head.weight' });
  },
  (draft) => {
    if (isTied(draft)) renamed(draft, (name) => (/(wte|embed_tokens)\.weight$/.test(name) ? 'lm_head.weight' : name));
  },
  (draft) => {
    if (isTied(draft)) {
      draft.head = scaled({ ...draft.tensors.find(isEmbedding)!, name: 'lm_head.weight' }, 2);
      draft.tensors.push(draft.head);
    } else draft.config['tie_word_embeddings'] = true;
    draft.warnings.push('untied, as transformers 5 does');
  },
  (draft) => {
    if (isTied(draft)) return;
    draft.tensors = draft.tensors.filter((tensor) => !isHead(tensor));
    draft.refusals.push('lm_head.weight');
  },
];

const names: Change[] = [
  nothing,
  (draft) => renamed(draft, (name) => (name.startsWith(prefixOf(draft)) ? name.slice(prefixOf(draft).length) : name)),
  (draft) => renamed(draft, (name) => (name === 'lm_head.weight' ? prefixOf(draft) + name : name)),
  ({ tensors }) => tensors.push({ name: 'h.0.attn.bias', shape: [2], values: Float32Array.of(1, 2) }),
  (draft) => {
    const prefix = ['_orig_mod.', 'module.', 'base_model.model.'][draft.tensors.length % 3]!;
    renamed(draft, (name) => prefix + name);
    draft.refusals.push(`begin with "${prefix}"`);
  },
  (draft, choose) => {
    const candidates = draft.tensors.filter((tensor) => !isHead(tensor) && !isEmbedding(tensor));
    const { name } = candidates[choose(candidates.length)]!;
    draft.tensors = draft.tensors.filter((tensor) => tensor.name !== name);
    draft.refusals.push(`${name} (`);
  },
  ({ tensors, refusals }) => {
    tensors.push({ name: 'model.extra.weight', shape: [1], values: Float32Array.of(1) });
    refusals.push('model.extra.weight is not known to clm');
  },
];

const whole = 'model.safetensors';
const shard = (number: number, total: number): string => `model-0000${number}-of-0000${total}.safetensors`;
function intoShards(draft: Draft, total: number): void {
  draft.files.clear();
  draft.index = {};
  for (let number = 1; number <= total; number++) draft.files.set(shard(number, total), []);
  for (const [i, tensor] of draft.tensors.entries()) {
    const name = shard(1 + (i % total), total);
    draft.files.get(name)!.push(tensor);
    draft.index[tensor.name] = name;
  }
}
const files: Change[] = [
  nothing,
  (draft) => intoShards(draft, 3),
  (draft) => {
    draft.index = { 'model.norm.weight': shard(1, 2) };
    draft.warnings.push('is not read, because there is model.safetensors');
  },
  (draft) => {
    const before = draft.tensors;
    draft.tensors = before.map((tensor) => scaled(tensor, 3));
    intoShards(draft, 2);
    draft.tensors = before;
    draft.files.set(whole, before);
    draft.warnings.push('is not read, because there is model.safetensors');
  },
  (draft) => {
    intoShards(draft, 2);
    Object.assign(draft.index!, { 'model.old.weight': shard(2, 2) });
  },
  (draft, choose) => {
    const total = 1 + choose(3);
    intoShards(draft, total);
    draft.index = null;
    draft.warnings.push(total === 1 ? `read ${shard(1, 1)}` : `read ${total} shards`);
  },
  (draft) => {
    intoShards(draft, 3);
    draft.index = null;
    draft.files.delete(shard(2, 3));
    draft.refusals.push(`${shard(2, 3)} is missing`);
  },
  (draft) => {
    intoShards(draft, 2);
    draft.index!['model.old.weight'] = shard(3, 3);
    draft.refusals.push(`${shard(3, 3)} is missing`);
  },
  (draft) => {
    intoShards(draft, 2);
    draft.files.get(shard(1, 2))!.push(draft.files.get(shard(2, 2))![0]!);
  },
  (draft) => {
    intoShards(draft, 2);
    draft.files.get(shard(1, 2))!.push(scaled(draft.files.get(shard(2, 2))![0]!, 2));
    draft.refusals.push('two different tensors for');
  },
  (draft) => {
    draft.files = new Map([['consolidated.safetensors', draft.tensors]]);
    draft.refusals.push('rename it to model.safetensors');
  },
  (draft) => {
    draft.files = new Map([['pytorch_model.bin', []]]);
    draft.refusals.push('pytorch_model.bin');
  },
];

async function draftOf(name: string): Promise<Draft> {
  const tensors: NamedTensor[] = [];
  for (const file of readdirSync(fixture(name)).filter((one) => one.endsWith('.safetensors'))) {
    await withSafetensors(join(fixture(name), file), ['F32', 'F16', 'BF16'], async (entries, read) => {
      for (const entry of entries) tensors.push({ name: entry.name, shape: entry.shape, values: await read(entry) });
    });
  }
  const config = JSON.parse(readFileSync(join(fixture(name), 'config.json'), 'utf8')) as Draft['config'];
  return { config, tensors, files: new Map(), index: null, refusals: [], head: null, warnings: [] };
}

async function write(name: string, draft: Draft): Promise<string> {
  const directory = join(folder(), 'x');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  cpSync(join(fixture(name), 'tokenizer.json'), join(directory, 'tokenizer.json'));
  writeFileSync(join(directory, 'config.json'), JSON.stringify(draft.config));
  if (draft.files.size === 0) draft.files.set(whole, draft.tensors);
  for (const [file, tensors] of draft.files) await writeSafetensors(join(directory, file), tensors);
  if (draft.index !== null)
    writeFileSync(join(directory, `${whole}.index.json`), JSON.stringify({ metadata: {}, weight_map: draft.index }));
  return directory;
}

async function imported(directory: string) {
  const run = join(folder(), 'run');
  rmSync(run, { recursive: true, force: true });
  const { checkpoint, warnings } = await importModel(directory, run, { contextLength: null });
  const { configText, model } = await loadCheckpoint(checkpoint, { optimizer: false });
  return { model: parseResolvedConfig(configText, 'config.yaml').model, parameters: model, warnings };
}

describe.each(fixtureNames)('folders made from %s', (name) => {
  it('import as the same model, or are refused by name', async () => {
    const plain = await imported(await write(name, await draftOf(name)));
    const random = randomStream(42, `folders of ${name}`);
    const choose = (count: number): number => random.below(count);
    const outcomes = { imported: 0, refused: 0 };
    for (let i = 0; i < 10; i++) {
      const draft = await draftOf(name);
      // Half of the axes stay as they are, or hardly any folder would be imported.
      const chosen = [spellings, keys, heads, names, files].map((changes) => {
        const number = choose(2 * changes.length);
        return number < changes.length ? number : 0;
      });
      [spellings, keys, heads, names, files].forEach((changes, axis) => changes[chosen[axis]!]!(draft, choose));
      const which = `spelling, keys, head, names, files: ${chosen.join(', ')}`;
      const directory = await write(name, draft);
      if (draft.refusals.length > 0) {
        const run = join(folder(), 'refused');
        const { kind, message } = await failureOf(importModel(directory, run, { contextLength: null }));
        expect(kind, which).toBe('wrongInput');
        expect(
          draft.refusals.some((text) => message.includes(text)),
          `${which}\n${message}`,
        ).toBe(true);
        expect(existsSync(run)).toBe(false);
        outcomes.refused++;
        continue;
      }
      const { model, parameters, warnings } = await imported(directory);
      const { head } = draft;
      expect(model, which).toEqual({ ...plain.model, tiedEmbeddings: head === null && plain.model.tiedEmbeddings });
      const own = head === null ? [] : [{ ...head, name: 'head.weight' }];
      expect(parameters, which).toEqual([...plain.parameters, ...own]);
      for (const text of draft.warnings) expect(warnings.join('\n'), which).toContain(text);
      expect(warnings, which).toHaveLength(draft.warnings.length);
      outcomes.imported++;
    }
    expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0);
  });
});

describe('the logits of transformers come from', () => {
  const ofAll =
    (...changes: Change[]): Change =>
    (draft, choose) => {
      for (const change of changes) change(draft, choose);
    };
  it.each<[string, string, Change]>([
    ['gpt2-untied', 'a head of its own although the config ties it', heads[3]!],
    ['llama', 'RoPE in two places', ofAll(spellings[4]!, files[3]!)],
    ['qwen2', 'shards without prefix or index, a head alone', ofAll(names[1]!, heads[2]!, files[5]!)],
  ])('%s with %s', async (name, _, change) => {
    const draft = await draftOf(name);
    change(draft, () => 1);
    const { model, parameters } = await imported(await write(name, draft));
    const { logits } = await answers(model, parameters, reference(name), 'eager');
    expect(relativeDifference(logits, reference(name).logits)).toBeLessThan(1e-5);
  });
});
