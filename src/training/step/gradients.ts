/**
 * From a micro-batch to gradients: its share of the step's mean loss, and the gradient of that by every parameter that
 * is trained.
 *
 * N = B·T positions of a micro-batch
 */
import { add, mul, reshape, slice, tensor1d, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../../config/schema.ts';
import { tokenEmbeddings } from '../../model/decoder.ts';
import { adapterOf } from '../../model/adapter.ts';
import type { Parameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { preferenceFigureNames, preferenceObjective } from '../../model/preference.ts';
import { addRows, sumOfRows } from '../../ops/rows.ts';
import { addProducts } from '../../ops/sums.ts';
import { scope } from '../../runtime/recording.ts';
import type { Inputs, InputSpec, Session } from '../../runtime/session.ts';
import type { StoredWeight } from '../../runtime/variables.ts';
import {
  branchesOf,
  branchLoss,
  microBatchFeeds,
  microBatchInputs,
  type Branch,
  type MicroBatchShape,
  type ScoredMicroBatch,
} from './microBatchLoss.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The parameters of a step, by name. */
export interface StepParameters {
  trained: Tensors;
  frozen: Readonly<Record<string, StoredWeight>>;
}

/**
 * The loss, the figures that begin with it (see `branchLoss`), and the gradients in the order of the table, which has
 * the parameters that are trained: of each branch by itself and then summed.
 *
 * The rows of the token embedding are looked up before the gradient is taken. If the embedding is also the output head,
 * the gradient by these rows is then added to the rows of the head's gradient; a second (V, C), most of it zeros, is
 * never made.
 */
export function lossAndGradients(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  parameters: StepParameters,
  feeds: Inputs<ReturnType<typeof lossInputs>>,
): { loss: Tensor; figures: Tensor; gradients: Tensor[] } {
  const { model, seed, training } = config;
  const dropoutOf = (rate: number) => (rate > 0 ? { rate, seed, counter: feeds.dropoutCounter! } : null);
  // The weights are scaled rather than the loss: then the gradient that comes back is 1, which saves a pass over the
  // gradients of the logits.
  const scaled = feeds.pairWeights
    ? { pairWeights: mul(feeds.pairWeights, feeds.lossScale) }
    : { weights: mul(feeds.weights, feeds.lossScale) };
  const branches = branchesOf({ ...feeds, ...scaled }, shapeOf(session, config), {
    dropout: dropoutOf(model.dropout),
    adapterDropout: dropoutOf(adapterOf(config)?.dropout ?? 0),
    recompute: training.recompute === 'block',
  });
  const names = table.map(({ name }) => name).filter((name) => name !== tokenTable || model.tiedEmbeddings);
  const parts = branches.map((branch) => scope(branch.name, () => branchGradients(parameters, names, branch)));
  const summed = new Map(names.map((name, i) => [name, addProducts(parts.map(({ gradients }) => gradients[i]!))]));
  const tokenGradient = (): Tensor => {
    const { shape } = parameters.trained[tokenTable]!;
    let sum = summed.get(tokenTable);
    for (const { inputs, dTokens } of parts)
      sum = sum ? addRows(sum, dTokens!, inputs) : sumOfRows(dTokens!, inputs, shape[0]!);
    return sum!;
  };
  const figures = parts.map(({ loss }) => loss).reduce((sum, loss) => add(sum, loss));
  return {
    loss: feeds.pairWeights ? reshape(slice(figures, [0], [1]), []) : figures,
    figures,
    gradients: table.map(({ name }) => (name === tokenTable ? tokenGradient() : summed.get(name)!)),
  };
}

const tokenTable = 'embedding.tokens';

/**
 * The loss of a branch and its gradients by the parameters of `names` and by the embeddings of its inputs, if these are
 * trained.
 */
function branchGradients({ trained, frozen }: StepParameters, names: readonly string[], branch: Branch) {
  const parametersOf = (values: readonly Tensor[]): Parameters => ({
    ...frozen,
    ...Object.fromEntries(names.map((name, i) => [name, values[i]!])),
  });
  const tokens = tokenEmbeddings({ ...frozen, ...trained }, branch.inputs);
  const values = names.map((name) => trained[name]!);
  // Of the figures of preference pairs, the first is the loss.
  const dy = branch.pairs === null ? undefined : tensor1d(preferenceFigureNames.map((_, i) => (i === 0 ? 1 : 0)));
  if (!(tokenTable in trained)) {
    const lossOf = (...given: Tensor[]): Tensor => branchLoss(parametersOf(given), tokens, branch, { isTrained: true });
    const { value, grads } = valueAndGrads(lossOf)(values, dy);
    return { inputs: branch.inputs, loss: value, dTokens: undefined, gradients: grads };
  }
  const lossOf = (rows: Tensor, ...given: Tensor[]): Tensor =>
    branchLoss(parametersOf(given), rows, branch, { isTrained: true });
  const { value, grads } = valueAndGrads(lossOf)([tokens, ...values], dy);
  const [dTokens, ...gradients] = grads;
  return { inputs: branch.inputs, loss: value, dTokens, gradients };
}

const shapeOf = ({ settings }: Session, config: Config): MicroBatchShape => ({
  model: config.model,
  adapter: adapterOf(config),
  microBatchSize: config.training.microBatchSize,
  branches: settings.branches,
  packsDocuments: config.corpus.packing === 'documents',
  preference: preferenceObjective(config),
});

/** Whether anything is dropped in training, so that each micro-batch needs a number of its own. */
const drops = (config: Config): boolean => config.model.dropout > 0 || (adapterOf(config)?.dropout ?? 0) > 0;

/** The inputs of a program that takes gradients. */
export const lossInputs = (session: Session, config: Config) => {
  const lossScale: InputSpec = { shape: [], dtype: 'float32' };
  const dropoutCounter: InputSpec = { shape: [], dtype: 'int32' };
  return {
    ...microBatchInputs(shapeOf(session, config)),
    lossScale,
    ...(drops(config) && { dropoutCounter }),
  };
};

/**
 * The values of `lossInputs`.
 *
 * @param lossScale 1/targets of the whole step, or 1/pairs
 * @param counter number of micro-batches trained on before this one
 */
export const lossFeeds = (microBatch: ScoredMicroBatch, lossScale: number, counter: number) => ({
  ...microBatchFeeds(microBatch),
  lossScale: Float32Array.of(lossScale),
  dropoutCounter: Int32Array.of(counter),
});
