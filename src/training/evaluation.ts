/** The loss over a whole set of micro-batches, without dropout; every target counts once. */
import type { Config } from '../config/schema.ts';
import { scoredText, type MicroBatch } from '../data/batches.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import type { Session } from '../runtime/session.ts';
import { microBatchInputs, microBatchLoss } from './microBatchLoss.ts';

export interface Evaluation {
  /** Mean, nats per token. */
  loss: number;
  perplexity: number;
  /** Independent of the tokenizer, unlike the loss per token. */
  bitsPerByte: number;
  /** Targets scored. */
  tokens: number;
}

/** Scores micro-batches of the recorded size, as many as there are. */
export type Evaluate = (
  microBatches: AsyncIterable<MicroBatch>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  signal?: AbortSignal,
) => Promise<Evaluation | null>;

/** Records the evaluation over the session's variables. A run returns null where the signal stopped it. */
export function recordEvaluation(
  session: Session,
  { model }: Pick<Config, 'model'>,
  table: readonly ParameterSpec[],
  batchSize: number,
): Evaluate {
  const shape = { model, microBatchSize: batchSize, branches: session.branches };
  const program = session.program('evaluation', microBatchInputs(shape), (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    return { loss: microBatchLoss(parameters, feeds, shape, null) };
  });
  return async (microBatches, tokenizer, signal) => {
    let summedLoss = 0;
    let tokens = 0;
    let bytes = 0;
    for await (const microBatch of microBatches) {
      if (signal?.aborted) return null;
      const { inputs, targets, weights } = microBatch;
      const result = await program.run({ inputs, targets, weights });
      const scored = scoredText(microBatch, tokenizer);
      summedLoss += result['loss']![0]!;
      tokens += scored.tokens;
      bytes += scored.bytes;
    }
    const loss = summedLoss / tokens;
    return { loss, perplexity: Math.exp(loss), bitsPerByte: summedLoss / Math.LN2 / bytes, tokens };
  };
}
