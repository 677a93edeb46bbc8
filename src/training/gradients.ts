/**
 * Rows 9 to 11 of the walk up to the gradients: a micro-batch's share of the step's mean loss, and its gradient
 * by every parameter.
 *
 * N = B·T positions of a micro-batch
 */
import { mul, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../config/schema.ts';
import type { MicroBatch } from '../data/batches.ts';
import type { Parameters } from '../model/decoderPass.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import type { InputSpec, Values } from '../runtime/program.ts';
import type { Session } from '../runtime/session.ts';
import { microBatchFeeds, microBatchInputs, microBatchLoss, type MicroBatchShape } from './microBatchLoss.ts';

/** The loss and the gradients in the table's order. @param feeds the tensors of `lossInputs` */
export function lossAndGradients(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  parameters: Parameters,
  feeds: Record<string, Tensor>,
): { loss: Tensor; gradients: Tensor[] } {
  const { model, seed, training } = config;
  const dropout = model.dropout > 0 ? { rate: model.dropout, seed, counter: feeds['dropoutCounter']! } : null;
  const trained = { dropout, recompute: training.recompute === 'block' };
  const lossOf = (...values: Tensor[]): Tensor => {
    const named = Object.fromEntries(table.map(({ name }, i) => [name, values[i]!]));
    // The weights are scaled rather than the loss: then the gradient that comes back from it is 1, and no pass over the
    // gradients of logits is made to multiply them.
    const weights = mul(feeds['weights']!, feeds['lossScale']!);
    return microBatchLoss(named, { ...feeds, weights }, shapeOf(session, config), trained);
  };
  const { value, grads } = valueAndGrads(lossOf)(table.map(({ name }) => parameters[name]!));
  return { loss: value, gradients: grads };
}

const shapeOf = ({ branches }: Session, { corpus, model, training }: Config): MicroBatchShape => ({
  model,
  microBatchSize: training.microBatchSize,
  branches,
  packsDocuments: corpus.packing === 'documents',
});

/** What a program that takes gradients is fed. */
export const lossInputs = (session: Session, config: Config): Record<string, InputSpec> => ({
  ...microBatchInputs(shapeOf(session, config)),
  lossScale: { shape: [], dtype: 'float32' },
  ...(config.model.dropout > 0 && { dropoutCounter: { shape: [], dtype: 'int32' } as const }),
});

/**
 * The values of `lossInputs`.
 *
 * @param lossScale 1/targets of the whole step @param counter number of micro-batches trained on before this one
 */
export const lossFeeds = (microBatch: MicroBatch, lossScale: number, counter: number): Record<string, Values> => ({
  ...microBatchFeeds(microBatch),
  lossScale: Float32Array.of(lossScale),
  dropoutCounter: Int32Array.of(counter),
});
