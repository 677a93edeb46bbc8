/**
 * From a micro-batch to gradients: its share of the step's mean loss, and the gradient of that by every parameter that
 * is trained.
 *
 * N = B·T positions of a micro-batch
 */
import { add, mul, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../../config/schema.ts';
import type { MicroBatch } from '../../data/windows/batches.ts';
import { tokenEmbeddings } from '../../model/decoder.ts';
import { adapterOf } from '../../model/adapter.ts';
import type { Parameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
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
} from './microBatchLoss.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The parameters of a step, by name. */
export interface StepParameters {
  trained: Tensors;
  frozen: Readonly<Record<string, StoredWeight>>;
}

/**
 * The loss and the gradients in the order of the table, which has the parameters that are trained, of each branch by
 * itself and then summed.
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
): { loss: Tensor; gradients: Tensor[] } {
  const { model, seed, training } = config;
  const dropoutOf = (rate: number) => (rate > 0 ? { rate, seed, counter: feeds.dropoutCounter! } : null);
  // The weights are scaled rather than the loss: then the gradient that comes back is 1, which saves a pass over the
  // gradients of the logits.
  const weights = mul(feeds.weights, feeds.lossScale);
  const branches = branchesOf({ ...feeds, weights }, shapeOf(session, config), {
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
  return {
    loss: parts.map(({ loss }) => loss).reduce((sum, loss) => add(sum, loss)),
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
  if (!(tokenTable in trained)) {
    const lossOf = (...given: Tensor[]): Tensor => branchLoss(parametersOf(given), tokens, branch, { isTrained: true });
    const { value, grads } = valueAndGrads(lossOf)(values);
    return { inputs: branch.inputs, loss: value, dTokens: undefined, gradients: grads };
  }
  const lossOf = (rows: Tensor, ...given: Tensor[]): Tensor =>
    branchLoss(parametersOf(given), rows, branch, { isTrained: true });
  const { value, grads } = valueAndGrads(lossOf)([tokens, ...values]);
  const [dTokens, ...gradients] = grads;
  return { inputs: branch.inputs, loss: value, dTokens, gradients };
}

const shapeOf = ({ settings }: Session, config: Config): MicroBatchShape => ({
  model: config.model,
  adapter: adapterOf(config),
  microBatchSize: config.training.microBatchSize,
  branches: settings.branches,
  packsDocuments: config.corpus.packing === 'documents',
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
 * @param lossScale 1/targets of the whole step @param counter number of micro-batches trained on before this one
 */
export const lossFeeds = (microBatch: MicroBatch, lossScale: number, counter: number) => ({
  ...microBatchFeeds(microBatch),
  lossScale: Float32Array.of(lossScale),
  dropoutCounter: Int32Array.of(counter),
});
