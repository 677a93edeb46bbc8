import { describe, expect, it } from 'vitest';
import { configSchema } from '../../../src/config/schema.ts';
import type { Config } from '../../../src/config/schema.ts';
import { plainSupply } from '../../../src/data/windows/trainingSupply.ts';
import { parameterTable } from '../../../src/model/parameters.ts';
import { elementCount } from '../../../src/tensors/tensors.ts';
import { planRun, refuseTooLarge } from '../../../src/training/plan/plan.ts';
import { hasBfloat16Arithmetic } from '../../../src/processor.ts';
import { wrongInputMessage } from '../../config/configFolder.ts';

const vocabularySize = 13;

type Sections = { [K in 'model' | 'training' | 'optimizer' | 'schedule']?: Partial<Config[K]> };

/** Sections lie over B 3, T 5, L 2, H 2, C 14. */
const tinyConfig = (sections: Sections = {}): Config =>
  configSchema.parse({
    name: 'tiny',
    corpus: { sources: [{ path: '/nowhere' }] },
    model: { layers: 2, heads: 2, width: 14, contextLength: 5, ...sections.model },
    training: { microBatchSize: 3, steps: 20, ...sections.training },
    optimizer: sections.optimizer,
    schedule: { warmupSteps: 2, ...sections.schedule },
  });

const machineBytes = 2e9;
const bfloat16 = hasBfloat16Arithmetic() === true;
/** tinyConfig has T 5 and B 3: this text gives 20 windows of an epoch and one token too few for another. */
const trainingTokens = 20 * 5 + 5;
const plan = (config: Config, tokens = trainingTokens, bytes = machineBytes) =>
  planRun(config, { vocabularySize, trainingTokens: tokens }, bytes);
const refusal = (...args: Parameters<typeof plan>): string => wrongInputMessage(() => plan(...args));

describe('planRun', () => {
  it('puts every token into a window or counts it as left over, whatever the seed', () => {
    for (const seed of [1, 2, 3, 4])
      for (let tokens = 16; tokens < 40; tokens++) {
        const { windowsPerEpoch, leftoverTokens } = plan({ ...tinyConfig(), seed }, tokens);
        expect(windowsPerEpoch * 5 + 1 + leftoverTokens).toBe(tokens); // the first token is no target
      }
  });

  it('counts windows, tokens and epochs', () => {
    const { steps, tokensPerStep, tokens, windowsPerEpoch, epochs } = plan(
      tinyConfig({ training: { microBatchesPerStep: 2 } }),
    );
    expect({ steps, tokensPerStep, tokens, windowsPerEpoch, epochs }).toEqual({
      steps: 20,
      tokensPerStep: 30,
      tokens: 600,
      windowsPerEpoch: 20,
      epochs: 6,
    });
    expect(plan(tinyConfig(), trainingTokens + 1).windowsPerEpoch).toBe(21);
  });

  it('takes the length in tokens or epochs, rounded up to whole steps', () => {
    const steps = (training: Partial<Config['training']>) =>
      plan(tinyConfig({ training: { steps: null, ...training } })).steps;
    expect([steps({ tokens: 45 }), steps({ tokens: 46 })]).toEqual([3, 4]);
    expect([steps({ epochs: 3 }), steps({ epochs: 0.5 })]).toEqual([20, 4]);
  });

  it('counts the parameters of the table, each in one part', () => {
    const table = parameterTable(tinyConfig().model, vocabularySize);
    const { parameters, parametersByPart } = plan(tinyConfig());
    expect(parameters).toBe(table.reduce((sum, { shape }) => sum + elementCount(shape), 0));
    expect(parametersByPart.embedding).toBe((13 + 5) * 14);
    expect(parametersByPart.attention).toBe(2 * 4 * 14 * 14);
    expect(parametersByPart.feedForward).toBe(2 * 8 * 14 * 14);
    expect(parametersByPart.head).toBe(0);
    expect(parametersByPart.norms).toBe((2 * 2 + 1) * 14);
    expect(Object.values(parametersByPart).reduce((sum, part) => sum + part)).toBe(parameters);
  });

  it('counts FLOPs by the matrices, tied head included and positions left out, and by attention', () => {
    const { matmulParameters, flopsPerToken } = plan(tinyConfig());
    expect(matmulParameters).toBe(2 * 12 * 14 * 14 + 13 * 14);
    expect(flopsPerToken).toBe(6 * matmulParameters + 12 * 2 * 14 * 5);
  });

  it('counts two FLOPs per multiply-add of every product, with heads wider than the stream and shared keys', () => {
    const [C, H, K, D, F, T] = [14, 4, 2, 6, 11, 5];
    const { flopsPerToken } = plan(
      tinyConfig({
        model: { family: 'llama', layers: 3, heads: H, keyValueHeads: K, headSize: D, feedForwardWidth: F },
      }),
    );
    const projections = C * (H + 2 * K) * D + H * D * C;
    // a query with every key, its weights with every value: masked ones are computed too
    const attention = H * (D * T + T * D);
    const feedForward = 3 * C * F;
    const forward = 2 * (3 * (projections + attention + feedForward) + vocabularySize * C);
    expect(flopsPerToken).toBe(3 * forward); // two products backward for one forward
  });

  it('counts the parts that a model may have: norms, value embeddings, a feed-forward without a gate', () => {
    const [C, H, K, D, F, V] = [14, 4, 2, 6, 11, vocabularySize];
    const sizes = { family: 'llama', layers: 3, heads: H, keyValueHeads: K, headSize: D, feedForwardWidth: F } as const;
    const plain = plan(tinyConfig({ model: sizes }));
    const parts = plan(
      tinyConfig({
        model: {
          ...sizes,
          activation: 'squaredRelu',
          normPlacement: 'sandwich',
          queryKeyNorm: true,
          logitSoftCap: 30,
          valueEmbeddings: 1,
        },
      }),
    );
    const more = (part: keyof typeof plain.parametersByPart) =>
      parts.parametersByPart[part] - plain.parametersByPart[part];
    expect(more('norms')).toBe(3 * 2 * (C + D));
    expect(more('embedding')).toBe(V * K * D);
    expect(more('attention')).toBe(2 * 2); // the two mixtures
    expect(more('feedForward')).toBe(-3 * C * F);
    expect(parts.flopsPerToken - plain.flopsPerToken).toBe(-6 * 3 * C * F);
    expect(parts.bytes.activations).not.toBe(plain.bytes.activations);
  });

  it("gives nanoGPT's CPU config its 4.0 GFLOP a step", () => {
    const model = { layers: 4, heads: 4, width: 128, contextLength: 64 };
    const config = tinyConfig({ model, training: { microBatchSize: 12, steps: 2000 } });
    const { flopsPerToken, tokensPerStep, parameters } = planRun(
      config,
      { vocabularySize: 65, trainingTokens: 1e6 },
      machineBytes,
    );
    expect((flopsPerToken * tokensPerStep) / 1e9).toBeCloseTo(3.96, 2);
    expect(parameters).toBe(804_096);
  });

  it('has a peak below the sum, because gradients replace activations, and is frozen', () => {
    const result = plan(tinyConfig());
    const { total, ...parts } = result.bytes;
    expect(total).toBeLessThan(Object.values(parts).reduce((sum, part) => sum + part));
    const { process, parameters, optimizer, checkpoint, activations, gradients } = parts;
    expect(total).toBeGreaterThan(process + parameters + optimizer + checkpoint + Math.max(activations, gradients) - 1);
    expect(result.bytes.parameters).toBe(4 * result.parameters);
    expect(result.bytes.optimizer).toBe(8 * result.parameters);
    expect([result, result.bytes, result.parametersByPart].every(Object.isFrozen)).toBe(true);
    expect(result).toMatchObject({ machineBytes, fits: true });
  });

  it('plans more memory for a larger step', () => {
    const total = (sections: Sections) => plan(tinyConfig(sections)).bytes.total;
    const base = total({});
    expect(total({ training: { microBatchSize: 5 } })).toBeGreaterThan(base);
    expect(total({ training: { microBatchesPerStep: 2 } })).toBeGreaterThan(base);
    expect(total({ model: { dropout: 0.1 } })).toBeGreaterThan(base);
    expect(total({ training: { emaDecay: 0.9 } })).toBeGreaterThan(base);
  });

  it('reads the memory of this machine when none is given', () => {
    const result = planRun(tinyConfig(), { vocabularySize, trainingTokens });
    expect(result.machineBytes).toBeGreaterThan(1e8);
    expect(Number.isSafeInteger(result.machineBytes)).toBe(true);
    expect(result.freeBytes).toBeGreaterThan(0);
    expect(result.freeBytes).toBeLessThan(result.machineBytes);
  });
});

describe('planRun refuses', () => {
  it('an adapter of a rank that no map can have, with the limit', () => {
    const config = (rank: number): Config => ({
      ...tinyConfig(),
      adapter: { kind: 'lora', rank, alpha: 16, dropout: 0, targets: ['up'] },
    });
    expect(refusal(config(1_000_000))).toContain('no adapted map has a higher rank than 14 (blocks.0.feedForward.up)');
    expect(plan(config(14)).trainedParameters).toBeGreaterThan(0);
  });

  it('pairs of which none is left, or too few, saying how many were left out', () => {
    const tiny = tinyConfig();
    const objective = { ...tiny.training.objective, kind: 'dpo' as const };
    const config = { ...tiny, training: { ...tiny.training, objective } };
    const message = (windows: number): string => {
      const supply = { ...plainSupply({ contextLength: 5 }, 100), windows, omittedPairs: 7 };
      return wrongInputMessage(() => planRun(config, { vocabularySize, trainingTokens: 100, supply }));
    };
    expect(message(0)).toContain('left out (7 with those for validation): the prompt does not fit model.contextLength');
    expect(message(2)).toContain('has 2 preference pairs (7 are left out: the prompt fills the context), but one step');
  });

  it('a text shorter than a window, and accepts one of a window', () => {
    expect(refusal(tinyConfig(), 5)).toBe(
      'The training text has 5 tokens, fewer than one window of model.contextLength + 1 = 6. ' +
        'Shorten model.contextLength or add text to corpus.sources.',
    );
    expect(plan(tinyConfig({ training: { microBatchSize: 1 } }), 6).windowsPerEpoch).toBe(1);
  });

  it('a vocabulary smaller than the tokenizer, and counts the rows of a larger one', () => {
    expect(refusal(tinyConfig({ model: { vocabularySize: 12 } }))).toBe(
      'model.vocabularySize is 12, but the tokenizer has 13 tokens. Raise it to at least as many, or leave it out.',
    );
    const more = (vocabularySize: number | null) => plan(tinyConfig({ model: { vocabularySize } }));
    expect(more(17).parameters - more(null).parameters).toBe(4 * 14);
    expect(more(17).flopsPerToken - more(13).flopsPerToken).toBe(6 * 4 * 14);
    expect(more(17).bytes.logits).toBeGreaterThan(more(13).bytes.logits);
  });

  it('a step of more windows than an epoch has, and accepts one of as many', () => {
    expect(refusal(tinyConfig({ training: { microBatchSize: 7, microBatchesPerStep: 3 } }))).toBe(
      'The training text has 20 windows of 6 tokens, but one step takes 21. Lower training.microBatchSize or ' +
        'training.microBatchesPerStep, shorten model.contextLength, or add text to corpus.sources.',
    );
    expect(plan(tinyConfig({ training: { microBatchSize: 5, microBatchesPerStep: 4 } })).epochs).toBe(20);
  });

  it('a model that does not fit the machine, and names the keys to change, in order', () => {
    const long = { layers: 31, heads: 7, width: 7 * 64, contextLength: 1030 };
    const refuse = (microBatchSize: number, bytes: number, sections: Sections = {}): string => {
      const config = tinyConfig({ ...sections, model: long, training: { microBatchSize, ...sections.training } });
      return wrongInputMessage(() => refuseTooLarge(planRun(config, { vocabularySize, trainingTokens: 1e6 }, bytes)));
    };
    const keysOf = (message: string): string[] =>
      [...message.matchAll(/[a-z]+\.[a-zA-Z]+: [a-z\d]+/g)].map(([key]) => key);
    expect(refuse(5, 5e9)).toBe(
      'This model does not fit this machine: training 75,157,376 parameters needs about 7.4 GB of memory, and there ' +
        'are 5.0 GB. Change these keys in this order until it fits: training.microBatchSize: 1, ' +
        'training.microBatchesPerStep: 5 (3.7 GB). Other keys that help: training.recompute' +
        `${bfloat16 ? ', training.precision' : ''}, optimizer.kind, model.contextLength, model.width, model.layers.`,
    );
    expect(keysOf(refuse(1, 3e9))[0]).toBe('training.recompute: block');
    const all = keysOf(refuse(5, 1e9)).filter((key) => !/precision|optimizer\.kind/.test(key));
    expect(all.slice(0, 3)).toEqual([
      'training.microBatchSize: 1',
      'training.microBatchesPerStep: 5',
      'training.recompute: block',
    ]);
    // Sizes of the model come last, and none of them shrinks to nothing while another stays.
    expect(all.slice(3).map((key) => key.split(':')[0])).toEqual(['model.width', 'model.layers']);
    expect(Number(/layers: (\d+)/.exec(all.join())![1])).toBeGreaterThan(5);
    // Short of layers and long of context: activations are what there is.
    const wide = tinyConfig({
      model: { layers: 2, heads: 8, width: 16, contextLength: 2 ** 20 - 1 },
      training: { microBatchSize: 1 },
    });
    const { keysToTurn } = planRun(wide, { vocabularySize, trainingTokens: 2e6 }, 2e9);
    expect(keysToTurn.flatMap(({ keys }) => Object.keys(keys))).toContain('model.contextLength');
    expect(refuse(5, 4e8)).toContain('That is not enough: it needs a machine with more memory.');
    const keys = keysOf(
      refuse(5, 1e9, { training: { recompute: 'block', emaDecay: 0.9 }, optimizer: { kind: 'muon' } }),
    );
    expect(keys).toContain('training.emaDecay: null');
    expect(keys).not.toContain('training.recompute: block');
    expect(keys).not.toContain('optimizer.kind: muon');
    expect(() => refuse(5, 64e9)).toThrow('nothing was refused');
  });

  it('plans less memory with recompute, more with a running mean, and never all logits of a large vocabulary', () => {
    const bytes = (training: Partial<Config['training']>, V = vocabularySize) =>
      planRun(
        tinyConfig({ model: { ...{ layers: 31, heads: 7, width: 7 * 64, contextLength: 1021 } }, training }),
        { vocabularySize: V, trainingTokens: 1e6 },
        64e9,
      ).bytes;
    expect(bytes({ recompute: 'block' }).activations).toBeLessThan(bytes({}).activations / 4);
    expect(bytes({ emaDecay: 0.9 }).optimizer).toBe(1.5 * bytes({}).optimizer);
    expect(bytes({ branches: 1 }, 200_003).logits).toBeLessThan(3 * 1021 * 3 * 200_003 * 4 * 0.6);
  });

  it('counts the key/value cache: two arrays per layer', () => {
    expect(plan(tinyConfig()).keyValueCacheBytes).toBe(2 * 2 * 14 * 5 * 4);
    expect(plan(tinyConfig({ model: { keyValueHeads: 1 } })).keyValueCacheBytes).toBe(2 * 2 * 7 * 5 * 4);
  });

  it('counts the weights in memory: in int8 blocks of 32 inputs with a scale, but for vectors and positions', () => {
    const { parameters, weightBytes } = plan(tinyConfig());
    const [V, T, C, L] = [vocabularySize, 5, 14, 2];
    const matrices = V * C + L * (4 + 8) * C * C;
    const vectors = parameters - matrices - T * C;
    expect(weightBytes.float32).toBe(4 * parameters);
    expect(weightBytes.bfloat16).toBe(2 * (matrices + T * C) + 4 * vectors);
    // Outputs of the embedding and of each layer's five matrices; only the down projection has more than a block.
    const outputs = [V, ...Array.from({ length: L }, () => [3 * C + C + 4 * C, 2 * C]).flat()];
    const blocks = outputs.reduce((sum, count) => sum + count);
    expect(weightBytes.int8).toBe(34 * blocks + 4 * (vectors + T * C));
  });

  it.each<Partial<Config['model']>>([
    { layers: 31, heads: 7, width: 7 * 64, contextLength: 1021 },
    { layers: 31, heads: 8, width: 8 * 64, contextLength: 1021 },
    { layers: 31, heads: 8, keyValueHeads: 2, width: 8 * 64, contextLength: 1021, family: 'llama' },
    { layers: 31, heads: 8, headSize: 32, width: 8 * 64, feedForwardWidth: 999, contextLength: 1021 },
  ])('advises changes that make it fit, each on top of those before: %j', (model) => {
    const config = tinyConfig({ model, training: { microBatchSize: 5 } });
    for (const machine of [0.75e9, 1e9, 2e9, 3e9, 5e9]) {
      const { keysToTurn } = planRun(config, { vocabularySize, trainingTokens: 1e6 }, machine);
      const set = Object.assign({}, ...keysToTurn.map(({ keys }) => keys)) as Record<string, unknown>;
      const section = (name: string) =>
        Object.fromEntries(
          Object.entries(set).flatMap(([key, value]) =>
            key.startsWith(`${name}.`) ? [[key.slice(name.length + 1), value]] : [],
          ),
        );
      const turned = tinyConfig({
        model: { ...model, ...section('model') }, // as --set changes what is written in the config
        training: { ...config.training, ...section('training') },
        optimizer: section('optimizer'),
      });
      const again = planRun(turned, { vocabularySize, trainingTokens: 1e6 }, machine);
      expect(again.bytes.total).toBe(keysToTurn.at(-1)!.bytes);
      expect(again.fits).toBe(true);
      expect(keysToTurn.slice(0, -1).every(({ bytes }) => bytes > machine)).toBe(true);
      expect([again.keysToTurn, again.otherKeys]).toEqual([[], []]);
    }
  });

  it('no small config on a machine with 2 GB', () => {
    const model = { layers: 4, heads: 4, width: 128, contextLength: 64 };
    const config = tinyConfig({ model, training: { microBatchSize: 12 } });
    expect(planRun(config, { vocabularySize: 83, trainingTokens: 1e6 }, 2e9).fits).toBe(true);
  });
});
