/** The loss over a whole set of micro-batches, without dropout; every target counts once. */
import type { Config } from '../../config/schema.ts';
import { scoredText, type MicroBatch } from '../../data/windows/batches.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import type { Evaluation } from '../../run/metrics.ts';
import type { Session } from '../../runtime/session.ts';
import { microBatchFeeds, microBatchInputs, microBatchLoss } from './microBatchLoss.ts';

/** Scores micro-batches of the recorded size, as many as there are. */
type Evaluate = (
  microBatches: AsyncIterable<MicroBatch>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  signal?: AbortSignal,
) => Promise<Evaluation | null>;

/** Records the evaluation over the session's variables. Returns null if the signal stopped it. */
export function recordEvaluation(
  session: Session,
  { corpus, model }: Pick<Config, 'corpus' | 'model'>,
  table: readonly ParameterSpec[],
  batchSize: number,
): Evaluate {
  const shape = {
    model,
    microBatchSize: batchSize,
    branches: session.settings.branches,
    packsDocuments: corpus.packing === 'documents',
  };
  const program = session.program('evaluation', microBatchInputs(shape), (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return { loss: microBatchLoss(parameters, feeds, shape) };
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
