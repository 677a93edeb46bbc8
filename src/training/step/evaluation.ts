/** The loss over a whole set of micro-batches, without dropout; every target counts once. */
import type { Config } from '../../config/schema.ts';
import { scoredText, type MicroBatch } from '../../data/windows/batches.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { adapterOf } from '../../model/adapter.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import type { Evaluation } from '../../run/metrics.ts';
import type { Session } from '../../runtime/session.ts';
import { microBatchFeeds, microBatchInputs, microBatchLoss } from './microBatchLoss.ts';
import { readFrozen } from './update.ts';

/** Scores micro-batches of the recorded size, as many as there are. */
type Evaluate = (
  microBatches: AsyncIterable<MicroBatch>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  signal?: AbortSignal,
) => Promise<Evaluation | null>;

/**
 * Records the evaluation over the session's variables. Returns null if the signal stopped it.
 *
 * @param table of the parameters that are trained @param frozen those that are not
 */
export function recordEvaluation(
  session: Session,
  config: Pick<Config, 'corpus' | 'model' | 'adapter'>,
  table: readonly ParameterSpec[],
  batchSize: number,
  frozen: readonly ParameterSpec[] = [],
): Evaluate {
  const shape = {
    model: config.model,
    adapter: adapterOf(config),
    microBatchSize: batchSize,
    branches: session.settings.branches,
    packsDocuments: config.corpus.packing === 'documents',
  };
  const program = session.program('evaluation', microBatchInputs(shape), (feeds, variables) => {
    const trained = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return { loss: microBatchLoss({ ...trained, ...readFrozen(variables, frozen) }, feeds, shape) };
  });
  return async (microBatches, tokenizer, signal) => {
    const whole = { summedLoss: 0, tokens: 0, bytes: 0 };
    const bySource = new Map<string, typeof whole>();
    for await (const microBatch of microBatches) {
      if (signal?.aborted) return null;
      const { source } = microBatch;
      const { loss } = await program.run(microBatchFeeds(microBatch));
      const scored = scoredText(microBatch, tokenizer);
      if (source !== undefined && !bySource.has(source)) bySource.set(source, { summedLoss: 0, tokens: 0, bytes: 0 });
      for (const sums of source === undefined ? [whole] : [whole, bySource.get(source)!]) {
        sums.summedLoss += loss[0]!;
        sums.tokens += scored.tokens;
        sums.bytes += scored.bytes;
      }
    }
    const sources = Object.fromEntries(Array.from(bySource, ([name, sums]) => [name, evaluationOf(sums)]));
    return { ...evaluationOf(whole), ...(bySource.size > 0 && { sources }) };
  };
}

function evaluationOf({
  summedLoss,
  tokens,
  bytes,
}: {
  summedLoss: number;
  tokens: number;
  bytes: number;
}): Omit<Evaluation, 'sources'> {
  const loss = summedLoss / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: summedLoss / Math.LN2 / bytes, tokens };
}
