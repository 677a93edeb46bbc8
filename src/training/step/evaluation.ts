/** The loss over a whole set of micro-batches, without dropout; every target counts once. */
import type { Config } from '../../config/schema.ts';
import { scoredText, type MicroBatch } from '../../data/windows/batches.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { adapterOf } from '../../model/adapter.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { preferenceFigureNames, preferenceObjective } from '../../model/preference.ts';
import type { Evaluation } from '../../run/metrics.ts';
import type { Session } from '../../runtime/session.ts';
import {
  microBatchFeeds,
  microBatchInputs,
  microBatchLoss,
  preferenceMeans,
  type MicroBatchShape,
  type ScoredMicroBatch,
} from './microBatchLoss.ts';
import { evaluationShare } from './sharedEvaluation.ts';
import { readFrozen } from './update.ts';

/** Scores micro-batches of the recorded size, as many as there are. */
type Evaluate = (
  microBatches: AsyncIterable<ScoredMicroBatch>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  signal?: AbortSignal,
) => Promise<Evaluation | null>;

type EvaluatedConfig = Pick<Config, 'corpus' | 'model' | 'adapter' | 'training'>;

/**
 * Records the evaluation over the session's variables. Returns null if the signal stopped it.
 *
 * @param table of the parameters that are trained @param frozen those that are not
 */
export function recordEvaluation(
  session: Session,
  config: EvaluatedConfig,
  table: readonly ParameterSpec[],
  batchSize: number,
  frozen: readonly ParameterSpec[] = [],
): Evaluate {
  const shape = evaluatedShape(session, config, batchSize);
  const program = session.program('evaluation', microBatchInputs(shape), (feeds, variables) => {
    const trained = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return { figures: microBatchLoss({ ...trained, ...readFrozen(variables, frozen) }, feeds, shape) };
  });
  const share = evaluationShare(session, 'evaluated');
  return async (microBatches, tokenizer, signal) => {
    const computed: (Float32Array | undefined)[] = [];
    const counted: { source: string | undefined; counts: Counts }[] = [];
    let isBrokenOff = false;
    for await (const microBatch of microBatches) {
      isBrokenOff = signal?.aborted === true;
      if (isBrokenOff) break;
      const { source, pairs } = microBatch;
      const isOwn = share.isOwn(computed.length);
      computed.push(isOwn ? (await program.run(microBatchFeeds(microBatch))).figures : undefined);
      const scored = scoredText(pairs ? chosenRows(microBatch, config.model.contextLength) : microBatch, tokenizer);
      counted.push({ source, counts: { pairs: pairs?.count ?? 0, ...scored } });
    }
    if (await share.isBrokenOff(isBrokenOff)) return null;
    const figures = await share.exchange(computed, shape.preference === null ? 1 : preferenceFigureNames.length);
    const whole = noSums();
    const bySource = new Map<string, Sums>();
    for (const [i, { source, counts }] of counted.entries()) {
      if (source !== undefined && !bySource.has(source)) bySource.set(source, noSums());
      for (const sums of source === undefined ? [whole] : [whole, bySource.get(source)!]) {
        sums.figures.push(figures[i]!);
        for (const count of ['pairs', 'tokens', 'bytes'] as const) sums[count] += counts[count];
      }
    }
    const sources = Object.fromEntries(Array.from(bySource, ([name, sums]) => [name, evaluationOf(sums)]));
    return { ...evaluationOf(whole), ...(bySource.size > 0 && { sources }) };
  };
}

/** The shape of micro-batches that are evaluated. */
export const evaluatedShape = (session: Session, config: EvaluatedConfig, microBatchSize: number): MicroBatchShape => ({
  model: config.model,
  adapter: adapterOf(config),
  contextLength: config.model.contextLength,
  microBatchSize,
  branches: session.settings.branches,
  packsDocuments: config.corpus.packing === 'documents',
  preference: preferenceObjective(config),
});

interface Counts {
  pairs: number;
  tokens: number;
  bytes: number;
}

interface Sums extends Counts {
  /** Of each micro-batch, see `branchLoss`. */
  figures: Float32Array[];
}

const noSums = (): Sums => ({ figures: [], pairs: 0, tokens: 0, bytes: 0 });

/** Of preference pairs, perplexity and bits per byte are those of the chosen completions. */
function evaluationOf({ figures, pairs, tokens, bytes }: Sums): Omit<Evaluation, 'sources'> {
  const sum = (index: number): number => figures.reduce((total, each) => total + each[index]!, 0);
  const text = (nats: number) => ({
    perplexity: Math.exp(nats / tokens),
    bitsPerByte: nats / Math.LN2 / bytes,
    tokens,
  });
  if (pairs === 0) return { loss: sum(0) / tokens, ...text(sum(0)) };
  const chosen = text(sum(preferenceFigureNames.indexOf('chosenLoss')));
  return { loss: sum(0) / pairs, ...preferenceMeans(figures, pairs), pairs, ...chosen };
}

/** The rows with the chosen completions. */
function chosenRows({ targets, lossMask }: MicroBatch, contextLength: number) {
  const isChosen = (_: number, i: number): boolean => Math.floor(i / contextLength) % 2 === 0;
  const mask = lossMask.filter(isChosen);
  return { targets: targets.filter(isChosen), lossMask: mask, targetCount: mask.reduce((sum, each) => sum + each, 0) };
}
