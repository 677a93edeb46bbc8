/**
 * Known models by name, as keys of the section `model`: in `model: { preset: llama-15m }` any key beside `preset`
 * overrides the preset's. Sizes are those of the published models; a run with its own tokenizer has its own vocabulary
 * size and therefore a different number of parameters.
 */
import { distance } from 'fastest-levenshtein';
import { location, mergeLocated, valueAt, withValue } from './located.ts';
import type { LocatedValue, Origin, PlainValue } from './located.ts';
import { ConfigError } from '../errors.ts';

type PresetKeys = Readonly<Record<string, PlainValue>>;

/** GPT-2 (Radford et al. 2019). */
const gpt2 = (layers: number, heads: number, width: number): PresetKeys => ({
  family: 'gpt2',
  layers,
  heads,
  width,
  contextLength: 1024,
  biases: true,
});

/** The TinyStories models of llama2.c (https://github.com/karpathy/llama2.c). */
const stories = (
  layers: number,
  heads: number,
  width: number,
  feedForwardWidth: number,
  contextLength: number,
): PresetKeys => ({
  family: 'llama',
  layers,
  heads,
  width,
  feedForwardWidth,
  contextLength,
});

const smollm135m: PresetKeys = {
  family: 'llama',
  layers: 30,
  heads: 9,
  keyValueHeads: 3,
  width: 576,
  feedForwardWidth: 1536,
  contextLength: 2048,
};

/** From the config.json of each model. */
export const presets: Readonly<Record<string, PresetKeys>> = {
  'gpt2-124m': gpt2(12, 12, 768),
  'gpt2-350m': gpt2(24, 16, 1024),
  'gpt2-774m': gpt2(36, 20, 1280),
  'gpt2-1558m': gpt2(48, 25, 1600),
  'llama-15m': stories(6, 6, 288, 768, 256),
  'llama-42m': stories(8, 8, 512, 1376, 1024),
  'llama-110m': stories(12, 12, 768, 2048, 1024),
  'smollm-135m': smollm135m,
  'smollm-360m': {
    family: 'llama',
    layers: 32,
    heads: 15,
    keyValueHeads: 5,
    width: 960,
    feedForwardWidth: 2560,
    contextLength: 2048,
  },
  'smollm2-135m': { ...smollm135m, contextLength: 8192, ropeTheta: 100_000 },
  'tinyllama-1.1b': {
    family: 'llama',
    layers: 22,
    heads: 32,
    keyValueHeads: 4,
    width: 2048,
    feedForwardWidth: 5632,
    contextLength: 2048,
    tiedEmbeddings: false,
  },
  'qwen2.5-0.5b': {
    family: 'llama',
    layers: 24,
    heads: 14,
    keyValueHeads: 2,
    width: 896,
    feedForwardWidth: 4864,
    contextLength: 32_768,
    queryKeyValueBiases: true,
    normEpsilon: 1e-6,
    ropeTheta: 1e6,
  },
  'qwen3-0.6b': {
    family: 'llama',
    layers: 28,
    heads: 16,
    keyValueHeads: 8,
    headSize: 128,
    width: 1024,
    feedForwardWidth: 3072,
    contextLength: 40_960,
    queryKeyNorm: true,
    normEpsilon: 1e-6,
    ropeTheta: 1e6,
  },
};

/**
 * The tree with the keys of `model.preset` merged under those of `model`; `preset` itself becomes null, so that a
 * resolved config has the plain keys only.
 *
 * @throws ConfigError naming the location and the nearest preset
 */
export function withPreset(tree: LocatedValue): LocatedValue {
  const written = valueAt(tree, ['model', 'preset']);
  if (written?.kind !== 'scalar' || typeof written.value !== 'string') return tree;
  const keys = Object.hasOwn(presets, written.value) ? presets[written.value] : undefined;
  if (keys === undefined) throw unknownPreset(written.value, written.origin);
  const below: LocatedValue = {
    kind: 'mapping',
    origin: written.origin,
    entries: new Map(
      Object.entries(keys).map(([name, value]) => [
        name,
        {
          keyOrigin: written.origin,
          value: { kind: 'scalar', origin: written.origin, value: value as string | number | boolean },
        },
      ]),
    ),
  };
  const model = mergeLocated(below, valueAt(tree, ['model'])!);
  return withValue(withValue(tree, ['model'], model), ['model', 'preset'], { ...written, value: null });
}

function unknownPreset(name: string, origin: Origin): Error {
  const names = Object.keys(presets);
  const edits = (preset: string): number => distance(preset, name.toLowerCase());
  const nearest = names.toSorted((a, b) => edits(a) - edits(b))[0]!;
  return new ConfigError(
    `${location(origin)}: unknown model.preset "${name}"; did you mean ${nearest}? The presets are ${names.join(', ')}`,
  );
}
