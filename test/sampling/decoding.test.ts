import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { decode } from '../../src/model/decoder.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import type { Session } from '../../src/runtime/session.ts';
import { openDecoding } from '../../src/sampling/decoding.ts';
import { storageOf } from '../../src/sampling/weightStorage.ts';
import { paddedLength } from '../../src/sampling/recordedSizes.ts';
import { openTinySession, tinyConfig, vocabularySize as V } from '../training/tinyRun.ts';

const contextLength = 150; // needs three capacities of the cache: 64, 128, 150
const families: Record<string, Partial<Config['model']>> = {
  gpt2: { biases: true },
  'llama, grouped heads': { family: 'llama', heads: 6, keyValueHeads: 2, width: 12, tiedEmbeddings: false },
  'llama, a layer without positions': {
    family: 'llama',
    heads: 3,
    headSize: 4,
    nopeEveryLayers: 2,
    feedForwardBiases: true,
  },
  'gpt2, QK-norm, squared ReLU, sandwich norms and capped logits': {
    queryKeyNorm: true,
    activation: 'squaredRelu',
    normPlacement: 'sandwich',
    logitSoftCap: 1,
    valueEmbeddings: 1,
  },
  'gpt2, QK-norm and SwiGLU': { queryKeyNorm: true, activation: 'swiglu' },
  'llama, QK-norm and scaled RoPE': {
    family: 'llama',
    heads: 3,
    headSize: 4,
    queryKeyNorm: true,
    ropeScaling: {
      kind: 'llama3',
      factor: 4,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 64,
    },
  },
};

/** Logits (V) at every position of one window, without a cache. */
async function uncachedLogits(
  session: Session,
  config: Config,
  tokenIds: readonly number[],
): Promise<(position: number) => Float32Array> {
  const table = parameterTable(config.model, V);
  const positions = tokenIds.length;
  const program = session.program('whole', { inputs: { shape: [positions], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return {
      logits: decode(parameters, feeds['inputs']!, {
        model: config.model,
        batchSize: 1,
        length: positions,
        dropout: null,
      }),
    };
  });
  const { logits } = await program.run({ inputs: Int32Array.from(tokenIds) });
  return (position) => logits!.subarray(position * V, (position + 1) * V);
}

const textOf = (length: number, salt: number): number[] =>
  Array.from({ length }, (_, i) => (i * i + salt * i + salt) % V);

function expectClose(actual: Float32Array, expected: Float32Array, what: string): void {
  const scale = Math.max(...expected.map(Math.abs));
  actual.forEach((logit, i) =>
    expect(Math.abs(logit - expected[i]!), `${what}, token ${i}`).toBeLessThan(2e-5 * scale),
  );
}

describe.each(Object.entries(families))('cached decoding of %s', (_, model) => {
  it.each([
    ['recorded', "clm's own steps"],
    ['recorded', "TensorFlow's steps"],
    ['eager', "TensorFlow's steps"],
  ] as const)('has the logits of the whole pass at every position: %s, %s', async (mode, steps) => {
    const config = tinyConfig({ model: { contextLength, ...model } });
    const session = await openTinySession(config, mode);
    const length = mode === 'eager' ? 80 : contextLength;
    const texts = [textOf(length, 3), textOf(length, 5)] as const;
    const whole = [
      await uncachedLogits(session, config, texts[0]),
      await uncachedLogits(session, config, texts[1]),
    ] as const;
    expectClose(whole[0](7), whole[0](7), 'itself');
    expect(whole[0](7)).not.toEqual(whole[1](7));
    const isTraining = steps === "TensorFlow's steps";
    const decoding = openDecoding(session, config.model, parameterTable(config.model, V), 3, { isTraining });
    expect(decoding.takeTimes() === null).toBe(isTraining || config.model.normPlacement === 'sandwich');
    // Two texts of different lengths; the second begins while the first is in progress. One slot stays free.
    expectClose(await decoding.prefill(0, texts[0].slice(0, 1)), whole[0](0), 'prefill of one token');
    let second = 0;
    for (let position = 1; position < length; position++) {
      const next = new Map([[0, texts[0][position]!]]);
      if (position === 20) {
        second = 37;
        expectClose(
          await decoding.prefill(2, texts[1].slice(0, second)),
          whole[1](second - 1),
          'prefill of the second',
        );
      }
      if (second > 0 && second < length) next.set(2, texts[1][second]!);
      const logits = await decoding.step(next);
      expectClose(logits.get(0)!, whole[0](position), `first text, position ${position}`);
      if (next.has(2)) expectClose(logits.get(2)!, whole[1](second++), `second text, position ${second}`);
    }
    expect(decoding.length(0)).toBe(length);
    if (length === contextLength) await expect(decoding.step(new Map([[0, 1]]))).rejects.toThrow(/full/);
    // A reused slot depends on nothing before.
    decoding.free(0);
    expectClose(await decoding.prefill(0, texts[1].slice(0, 20)), whole[1](19), 'another text in the same slot');
    expectClose((await decoding.step(new Map([[0, texts[1][20]!]]))).get(0)!, whole[1](20), 'its next token');
    session.close();
  });
});

describe('recorded lengths', () => {
  it('are powers of two, at most the context length', () => {
    expect([1, 16, 17, 64, 65, 100, 130].map((n) => paddedLength(n, 130, 16))).toEqual([16, 16, 32, 64, 128, 128, 130]);
    expect(paddedLength(3, 5, 16)).toBe(5);
  });
});

it.each([
  ['gpt2', { width: 64, heads: 4, biases: true }],
  ['llama', { family: 'llama', width: 60, heads: 6, keyValueHeads: 2, queryKeyNorm: true }],
] as const)('a row has the same bits alone and in any company, in any slot: %s', async (_, model) => {
  const config = tinyConfig({ model: { contextLength: 40, ...model } });
  const table = parameterTable(config.model, V);
  const text = textOf(30, 3);
  /** The logits of the prompt and of ten steps in `slot`; the others hold texts of other lengths. */
  const logitsIn = async (slots: number, slot: number): Promise<number[][]> => {
    const session = await openTinySession(config, 'recorded');
    const decoding = openDecoding(session, config.model, table, slots);
    const all = Array.from({ length: slots }, (_, other) => (other === slot ? text : textOf(30, 4 + other)));
    const begun = (other: number): number => (other === slot ? 20 : 1 + ((other * 5) % 20));
    let prefilled: Float32Array | undefined;
    for (let other = 0; other < slots; other++) {
      const logits = await decoding.prefill(other, all[other]!.slice(0, begun(other)));
      if (other === slot) prefilled = logits;
    }
    const rows = [[...prefilled!]];
    for (let step = 0; step < 10; step++) {
      const next = new Map(all.map((tokens, other) => [other, tokens[begun(other) + step]!]));
      rows.push([...(await decoding.step(next)).get(slot)!]);
    }
    session.close();
    return rows;
  };
  const alone = await logitsIn(1, 0);
  expect(new Set(alone.map((row) => row[0])).size).toBe(11); // every step changes the logits
  for (const [slots, slot] of [
    [2, 1],
    [5, 2],
    [8, 7],
    [19, 11],
  ] as const)
    expect(await logitsIn(slots, slot), `${slots} slots, slot ${slot}`).toEqual(alone);
});

it('stores embeddings of tokens in int8 by rows, so that they can be looked up', () => {
  const { model } = tinyConfig({ model: { valueEmbeddings: 1 } });
  const stored = parameterTable(model, V).map((spec) => ({ ...storageOf(spec, 'int8'), name: spec.name }));
  const byRows = stored.filter(({ storedAs, isTransposed }) => storedAs === 'int8' && isTransposed);
  expect(byRows.map(({ name }) => name)).toEqual(['embedding.tokens', 'embedding.values.0']);
});
