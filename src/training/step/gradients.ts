/**
 * From a micro-batch to gradients: its share of the step's mean loss, and the gradient of that by every parameter that
 * is trained.
 *
 * N = B·T positions of a micro-batch
 */
import { mul, reshape, slice, tensor1d, valueAndGrads, type Tensor } from '../../tfjs.ts';
import type { Config } from '../../config/schema.ts';
import { constantOf } from '../../config/sections/stages.ts';
import { tokenEmbeddings } from '../../model/decoder.ts';
import { adapterOf } from '../../model/adapter.ts';
import type { Parameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { preferenceFigureNames, preferenceObjective } from '../../model/preference.ts';
import { addRows, sumOfRows } from '../../ops/rows.ts';
import { sumOfProducts } from '../../ops/sums.ts';
import { scope } from '../../runtime/recording.ts';
import type { Inputs, InputSpec, Session } from '../../runtime/session.ts';
import type { StoredWeight } from '../../runtime/variables.ts';
import {
  branchesOf,
  branchLoss,
  cutPieces,
  microBatchFeeds,
  microBatchInputs,
  ownPart,
  type Branch,
  type MicroBatchShape,
  type ScoredMicroBatch,
} from './microBatchLoss.ts';
import { stepShare, type StepShare } from './stepShare.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The parameters of a step, by name. */
export interface StepParameters {
  trained: Tensors;
  frozen: Readonly<Record<string, StoredWeight>>;
}

/**
 * The figures, the first of which is the loss (see `branchLoss`), and the gradients in the order of the table, which
 * has the parameters that are trained: of each branch by itself and then summed.
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
  const gradientOf = ({ inputs, dTokens, gradients }: (typeof parts)[number], name: string): Tensor => {
    const byProducts = gradients[names.indexOf(name)];
    if (name !== tokenTable) return byProducts!;
    return byProducts
      ? addRows(byProducts, dTokens!, inputs)
      : sumOfRows(dTokens!, inputs, parameters.trained[tokenTable]!.shape[0]!);
  };
  const figures = sumOfProducts(parts.map(({ loss }) => loss));
  return {
    loss: lossOf(figures),
    figures,
    gradients: table.map(({ name }) => sumOfProducts(parts.map((part) => gradientOf(part, name)))),
  };
}

/** The loss among the figures. */
export const lossOf = (figures: Tensor): Tensor => reshape(slice(reshape(figures, [-1]), [0], [1]), []);

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

/** What of each step the process of a session computes. */
export function sessionShare({ settings: { branches, place } }: Session, { training }: Config): StepShare {
  return stepShare(training, branches, place?.rank ?? 0, place?.addresses.length ?? 1);
}

const shapeOf = (session: Session, config: Config): MicroBatchShape => {
  const { firstBranch, branches } = sessionShare(session, config);
  return {
    model: config.model,
    adapter: adapterOf(config),
    microBatchSize: config.training.microBatchSize,
    contextLength: constantOf(config.training.contextLength ?? config.model.contextLength),
    branches: session.settings.branches,
    ownBranches: { first: firstBranch, count: branches },
    packsDocuments: config.corpus.packing === 'documents',
    preference: preferenceObjective(config),
  };
};

/** What of a micro-batch the process of a session computes, see `lossFeeds`. */
export const ownPartIn = (session: Session, config: Config) => {
  const shape = shapeOf(session, config);
  return (microBatch: ScoredMicroBatch): ScoredMicroBatch => cutPieces(ownPart(microBatch, shape), shape.contextLength);
};

/** How many figures a micro-batch has, see `branchLoss`. */
export const figureCount = (config: Config): number =>
  preferenceObjective(config) === null ? 1 : preferenceFigureNames.length;

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
