/**
 * Rows 9 to 11 of the walk up to the gradients: a micro-batch's share of the step's mean loss, and its gradient
 * by every parameter.
 *
 * N = B·T positions of a micro-batch
 */
import { add, mul, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../../config/schema.ts';
import type { MicroBatch } from '../../data/windows/batches.ts';
import { tokenEmbeddings } from '../../model/decoder.ts';
import type { Parameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { addProducts, addRows, sumOfRows } from '../../ops/operations.ts';
import { scope } from '../../runtime/recording.ts';
import type { InputSpec, Values } from '../../runtime/program.ts';
import type { Session } from '../../runtime/session.ts';
import {
  branchesOf,
  branchLoss,
  microBatchFeeds,
  microBatchInputs,
  type Branch,
  type MicroBatchShape,
} from './microBatchLoss.ts';

/**
 * The loss and the gradients in the table's order, of each branch by itself and then summed.
 *
 * The rows of the token embedding are looked up before the gradient is taken: its gradient by them is added to the rows
 * of the output head's, where they are one matrix, rather than made a second (V, C), most of it zeros.
 *
 * @param feeds the tensors of `lossInputs`
 */
export function lossAndGradients(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  parameters: Parameters,
  feeds: Record<string, Tensor>,
): { loss: Tensor; gradients: Tensor[] } {
  const { model, seed, training } = config;
  const dropout = model.dropout > 0 ? { rate: model.dropout, seed, counter: feeds['dropoutCounter']! } : null;
  // The weights are scaled rather than the loss: then the gradient that comes back from it is 1, and no pass over the
  // gradients of logits is made to multiply them.
  const weights = mul(feeds['weights']!, feeds['lossScale']!);
  const branches = branchesOf({ ...feeds, weights }, shapeOf(session, config), {
    dropout,
    recompute: training.recompute === 'block',
  });
  const names = table.map(({ name }) => name).filter((name) => name !== tokenTable || model.tiedEmbeddings);
  const parts = branches.map((branch) => scope(branch.name, () => branchGradients(parameters, names, branch)));
  const summed = new Map(names.map((name, i) => [name, addProducts(parts.map(({ gradients }) => gradients[i]!))]));
  const tokenGradient = (): Tensor => {
    const { shape } = parameters[tokenTable]!;
    let sum = summed.get(tokenTable);
    for (const { inputs, dTokens } of parts)
      sum = sum ? addRows(sum, dTokens, inputs) : sumOfRows(dTokens, inputs, shape[0]!);
    return sum!;
  };
  return {
    loss: parts.map(({ loss }) => loss).reduce((sum, loss) => add(sum, loss)),
    gradients: table.map(({ name }) => (name === tokenTable ? tokenGradient() : summed.get(name)!)),
  };
}

const tokenTable = 'embedding.tokens';

/** The loss of a branch and its gradients by the parameters of `names` and by the embeddings of its inputs. */
function branchGradients(parameters: Parameters, names: readonly string[], branch: Branch) {
  const lossOf = (tokens: Tensor, ...values: Tensor[]): Tensor =>
    branchLoss(Object.fromEntries(names.map((name, i) => [name, values[i]!])), tokens, branch, { isTrained: true });
  const inputs = [tokenEmbeddings(parameters, branch.inputs), ...names.map((name) => parameters[name]!)];
  const { value, grads } = valueAndGrads(lossOf)(inputs);
  const [dTokens, ...gradients] = grads;
  return { inputs: branch.inputs, loss: value, dTokens: dTokens!, gradients };
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
