/** The loss over a whole set of micro-batches, without dropout; every target counts once. */
import type { Config } from '../config/schema.ts';
import type { MicroBatch } from '../data/batches.ts';
import { decode } from '../model/decoder.ts';
import { summedLoss } from '../model/loss.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import type { Session } from '../runtime/session.ts';

export interface Evaluation {
  /** Mean, nats per token. */
  loss: number;
  perplexity: number;
  /** Targets scored. */
  tokens: number;
}

/** Scores micro-batches of the recorded size, as many as there are. */
export type Evaluate = (microBatches: AsyncIterable<MicroBatch>, signal?: AbortSignal) => Promise<Evaluation | null>;

/** Records the evaluation over the session's variables. A run returns null where the signal stopped it. */
export function recordEvaluation(
  session: Session,
  { model }: Pick<Config, 'model'>,
  table: readonly ParameterSpec[],
  batchSize: number,
): Evaluate {
  const N = batchSize * model.contextLength;
  const inputs = {
    inputs: { shape: [N], dtype: 'int32' },
    targets: { shape: [N], dtype: 'int32' },
    weights: { shape: [N], dtype: 'float32' },
  } as const;
  const program = session.program('evaluation', inputs, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    const pass = { model, batchSize, positions: model.contextLength, dropout: null };
    return { loss: summedLoss(decode(parameters, feeds['inputs']!, pass), feeds['targets']!, feeds['weights']!) };
  });
  return async (microBatches, signal) => {
    let summed = 0;
    let tokens = 0;
    for await (const { inputs, targets, weights, targetCount } of microBatches) {
      if (signal?.aborted) return null;
      const result = await program.run({ inputs, targets, weights });
      summed += result['loss']![0]!;
      tokens += targetCount;
    }
    const loss = summed / tokens;
    return { loss, perplexity: Math.exp(loss), tokens };
  };
}
