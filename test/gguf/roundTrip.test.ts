/** Models from a Hugging Face folder to GGUF and back: the parameters are the same to the last bit. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportGguf } from '../../src/gguf/exportGguf.ts';
import { blocksOf, dequantize } from '../../src/gguf/file/blocks.ts';
import type { MetadataValue } from '../../src/gguf/file/metadata.ts';
import { openGguf, valuesOf } from '../../src/gguf/file/openGguf.ts';
import { writeGguf, type WrittenTensor } from '../../src/gguf/file/writeGguf.ts';
import { importGguf } from '../../src/gguf/importGguf.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { readSafetensors } from '../../src/tensors/safetensors.ts';
import { fixture } from '../huggingface/fixtures.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);
const whole = { contextLength: null };
const parametersOf = (run: string) =>
  readSafetensors(path.join(at(run), 'checkpoints/step-00000000/model.safetensors'));

/** A fixture as a run, and that run as a GGUF file. */
async function exported(name: string, dtype: 'float32' | 'float16' | 'bfloat16' | 'q8_0' = 'float32') {
  await importModel(fixture(name), at('run'), whole);
  return exportGguf(at('run'), at('model.gguf'), { checkpoint: 'last', dtype });
}

describe('a model to GGUF and back', () => {
  const architectures: Record<string, string> = {
    ...{ arcee: 'arcee', gpt2: 'gpt2', 'gpt2-untied': 'gpt2', qwen2: 'qwen2', qwen3: 'qwen3' },
    ...{
      llama: 'llama',
      'llama-biases': 'llama',
      'llama-attention-biases': 'llama',
      smollm: 'llama',
      mistral: 'llama',
    },
  };

  it.each(Object.keys(architectures))('%s has the same parameters', async (name) => {
    const { kind, warnings } = await exported(name);
    expect(kind).toBe(architectures[name]);
    const imported = await importGguf(at('model.gguf'), at('again'), whole);
    expect(imported.kind).toBe(kind);
    expect(imported.warnings).toEqual([]);
    const [before, after] = [await parametersOf('run'), await parametersOf('again')];
    expect(after.map((tensor) => tensor.name)).toEqual(before.map((tensor) => tensor.name));
    const hasMeanRow = warnings.some((warning) => warning.includes("mean of the embedding's rows"));
    for (const [i, { name, shape, values }] of before.entries()) {
      const isHead = name === 'embedding.tokens' || name === 'head.weight';
      const other = after[i]!;
      expect(other.shape).toEqual(isHead && hasMeanRow ? [shape[0]! + 1, shape[1]] : shape);
      expect(other.values.subarray(0, values.length)).toEqual(values);
      if (!isHead || !hasMeanRow) continue;
      const column = values.filter((_, index) => index % shape[1]! === 1);
      const mean = column.reduce((sum, value) => sum + value, 0) / column.length;
      expect(other.values[values.length + 1]).toBeCloseTo(mean, 6);
    }
    const again = await exportGguf(at('again'), at('again.gguf'), { checkpoint: 'last', dtype: 'float32' });
    expect(again.warnings.filter((warning) => warning.includes('mean'))).toEqual([]);
  });

  it('is refused for SmolLM3 with positions missing in other layers than every fourth', async () => {
    expect((await failureOf(exported('smollm3'))).message).toMatch(/model\.nopeEveryLayers is 2, .* \(only 4\)/);
  });

  it.each([
    ['float16', 'F16'],
    ['bfloat16', 'BF16'],
  ] as const)('in %s has the rounded matrices, and vectors as they were', async (dtype, type) => {
    await exported('gpt2', dtype);
    expect((await importGguf(at('model.gguf'), at('again'), whole)).types).toEqual([type, 'F32']); // F32: positions
    const after = new Map((await parametersOf('again')).map(({ name, values }) => [name, values]));
    for (const { name, values } of await parametersOf('run')) {
      const isRounded = !/gain|bias|positions/.test(name);
      const expected = isRounded ? dequantize(blocksOf(values, type), type) : values;
      expect(after.get(name)!.subarray(0, values.length)).toEqual(expected);
    }
  });

  it('in q8_0 falls back to float16 where rows are not whole blocks, and says so', async () => {
    const { warnings } = await exported('llama', 'q8_0');
    const { types } = await importGguf(at('model.gguf'), at('again'), whole);
    expect(types).toContain('F16');
    expect(warnings.join()).toMatch(/\d+ matrices are float16, not q8_0, .* blocks of 32 values \(e\.g\. token_embd/);
  });
});

describe('a GGUF file that clm cannot compute', () => {
  type Change = (metadata: Map<string, MetadataValue>, tensors: Map<string, WrittenTensor>) => void;

  /** The fixture as GGUF with other metadata and tensors. */
  async function changed(name: string, change: Change): Promise<void> {
    await exported(name);
    const { metadata, tensors } = await openGguf(at('model.gguf'));
    const entries = new Map(metadata);
    const written = new Map(
      [...tensors.values()].map((tensor): [string, WrittenTensor] => [
        tensor.name,
        { ...tensor, type: 'F32', values: () => valuesOf(tensor) },
      ]),
    );
    change(entries, written);
    await writeGguf(at('changed.gguf'), [...entries], [...written.values()]);
  }
  const number = (value: number): MetadataValue => ({ type: 'uint32', value });
  const text = (value: string): MetadataValue => ({ type: 'string', value });

  it.each<[string, string, Change, RegExp]>([
    [
      'another architecture',
      'llama',
      (all) => all.set('general.architecture', text('gemma3')),
      /is "gemma3"; clm imports/,
    ],
    ['an adapter', 'llama', (all) => all.set('general.type', text('adapter')), /it is of type adapter/],
    ['experts', 'llama', (all) => all.set('llama.expert_count', number(8)), /llama\.expert_count is 8; it must be 0/],
    ['YaRN', 'llama', (all) => all.set('llama.rope.scaling.type', text('yarn')), /scaling\.type is "yarn"; it must be/],
    ['half rotated heads', 'llama', (all) => all.set('llama.rope.dimension_count', number(2)), /dimension_count is 2/],
    ['a window', 'mistral', (all) => all.set('llama.attention.sliding_window', number(3)), /with --context-length 3/],
    ['an unknown key', 'llama', (all) => all.set('llama.logit_scale', number(2)), /--ignore-key llama\.logit_scale/],
    ['an unknown tokenizer key', 'llama', (all) => all.set('tokenizer.ggml.new', number(2)), /tokenizer\.ggml\.new/],
    ['a missing key', 'llama', (all) => all.delete('llama.block_count'), /llama\.block_count is missing/],
    ['a key of another type', 'llama', (all) => all.set('llama.block_count', text('two')), /block_count is "two"/],
    [
      'too many layers',
      'llama',
      (all) => all.set('llama.block_count', number(9999)),
      /have 9999 layers, the file only/,
    ],
    [
      'no pre-tokenizer',
      'llama',
      (all) => all.set('tokenizer.ggml.pre', text('deepseek-llm')),
      /"deepseek-llm", a split/,
    ],
    [
      'another tokenizer',
      'llama',
      (all) => all.set('tokenizer.ggml.model', text('t5')),
      /"t5"; clm reads gpt2 and llama/,
    ],
    [
      'a missing tensor',
      'llama',
      (_, all) => all.delete('blk.1.ffn_up.weight'),
      /blk\.1\.ffn_up\.weight \(.*\) is missing/,
    ],
    [
      'a tensor of another shape',
      'llama',
      (_, all) => all.set('output_norm.weight', { ...all.get('output_norm.weight')!, shape: [3], values: zeros(3) }),
      /output_norm\.weight has shape \(3\), its metadata require/,
    ],
    [
      'a tensor that clm does not know',
      'llama',
      (_, all) => all.set('blk.0.x', { name: 'blk.0.x', shape: [3], type: 'F32', values: zeros(3) }),
      /blk\.0\.x is not known to clm/,
    ],
  ])('%s', async (_, name, change, message) => {
    await changed(name, change);
    const failure = await failureOf(importGguf(at('changed.gguf'), at('again'), whole));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toMatch(message);
    expect(failure.message).toContain('changed.gguf');
  });

  const zeros = (count: number) => () => new Float32Array(count);

  it('is imported without the keys that the user has ignored', async () => {
    await changed('llama', (all) => void all.set('llama.logit_scale', number(2)));
    const options = { ...whole, ignoredKeys: ['llama.logit_scale'] };
    expect((await importGguf(at('changed.gguf'), at('again'), options)).warnings).toEqual([
      'llama.logit_scale is ignored, as --ignore-key says: clm does as if it were not there',
    ]);
  });

  it('has the factors of Llama 3 read back from the tensor alone, or refused', async () => {
    const factors =
      (first: number): Change =>
      (all, tensors) => {
        for (const key of [...all.keys()]) if (key.includes('rope.llama3')) all.delete(key);
        const tensor = tensors.get('rope_freqs.weight');
        expect(tensor).toBeDefined();
        tensors.set('rope_freqs.weight', {
          ...tensor!,
          values: async () => (await tensor!.values()).map((value, i) => (i === 0 ? first : value)),
        });
      };
    await changed('llama', factors(3));
    expect((await failureOf(importGguf(at('changed.gguf'), at('again'), whole))).message).toMatch(/rope_freqs\.weight/);
  });
});
