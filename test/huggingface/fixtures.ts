/** The models made by scripts/fixtures/models.py, and what clm computes for their inputs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mul, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../../src/tensors/tensors.ts';
import type { Config } from '../../src/config/schema.ts';
import { decode, hiddenStates, outputHead } from '../../src/model/decoder.ts';
import { summedLoss } from '../../src/model/loss.ts';
import { adapterPass, adapterTable, type Adapter } from '../../src/model/adapter.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Mode } from '../../src/runtime/session.ts';

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
export const fixtureNames = [
  'gpt2',
  'gpt2-untied',
  'gpt2-squared-relu',
  'llama',
  'arcee',
  'llama-biases',
  'llama-attention-biases',
  'smollm',
  'smollm3',
  'mistral',
  'qwen2',
  'qwen3',
];
/** Tokens of the fixtures' tokenizer; the embedding of smollm has three rows more. */
export const vocabularySize = 13;

export interface Reference {
  inputs: number[];
  targets: number[];
  loss: number;
  logits: number[];
  /** The `optimizer` section of three updates by PyTorch's AdamW. */
  update: Pick<Config['optimizer'], 'learningRate' | 'betas' | 'epsilon' | 'weightDecay' | 'gradientClip'>;
  /** Loss and gradient norm before each of them, and after the third. */
  steps: { loss: number; gradientNorm: number }[];
}

const referenceIn = (folder: string): Reference =>
  JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as Reference;
export const reference = (name: string): Reference => referenceIn(fixture(name));

/** The folder of an adapter of the model `name`, made by scripts/fixtures/adapters.py. */
export const adapterFixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/adapters/${name}`, import.meta.url));
export const adapterReference = (name: string): Reference => referenceIn(adapterFixture(name));

/**
 * Logits, mean loss and the gradient of every parameter, by its name; with an adapter, of its parameters.
 *
 * @param parameters of the model
 */
export async function answers(
  model: Config['model'],
  parameters: readonly NamedTensor[],
  { inputs, targets }: Reference,
  mode: Mode,
  adapted?: { adapter: Adapter; tensors: readonly NamedTensor[] },
) {
  const base = parameterTable(model, vocabularySize);
  const table = adapted ? adapterTable(base, adapted.adapter, model) : base;
  const session = openSession({ mode, precision: 'float32', device: 'cpu' });
  try {
    await session.addVariables([...parameters, ...(adapted?.tensors ?? [])]);
    const N = inputs.length;
    const adapter = adapterPass(adapted?.adapter ?? null);
    const pass = { model, adapter, batchSize: N / model.contextLength, length: model.contextLength, dropout: null };
    const program = session.program(
      'answers',
      {
        inputs: { shape: [N], dtype: 'int32' },
        targets: { shape: [N], dtype: 'int32' },
        weights: { shape: [N], dtype: 'float32' },
      },
      (feeds, variables): Record<string, Tensor> => {
        const values = table.map(({ name }) => variables.read(name));
        const all = Object.fromEntries(base.map(({ name }) => [name, variables.read(name)]));
        const named = (tensors: Tensor[]) => ({
          ...all,
          ...Object.fromEntries(table.map(({ name }, i) => [name, tensors[i]!])),
        });
        const logits = decode(named(values), feeds['inputs']!, pass);
        const lossOf = (...tensors: Tensor[]) => {
          const hidden = hiddenStates(named(tensors), feeds['inputs']!, pass);
          const head = outputHead(named(tensors));
          return mul(
            summedLoss(hidden, head, feeds['targets']!, feeds['weights']!, {
              isTrained: true,
              softCap: model.logitSoftCap,
            }),
            1 / N,
          );
        };
        const { value, grads } = valueAndGrads(lossOf)(values);
        return {
          logits,
          loss: value,
          ...Object.fromEntries(table.map(({ name }, i) => [`gradient/${name}`, grads[i]!])),
        };
      },
    );
    const result = await program.run({
      inputs: Int32Array.from(inputs),
      targets: Int32Array.from(targets),
      weights: new Float32Array(N).fill(1),
    });
    const gradients = new Map(table.map(({ name }) => [name, result[`gradient/${name}`]!]));
    return { logits: result['logits']!, loss: result['loss']![0]!, gradients };
  } finally {
    session.close();
  }
}

/** The largest difference, relative to the largest of the expected numbers. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers instead of ${expected.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
