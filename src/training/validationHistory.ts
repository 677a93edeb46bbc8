/** What the evaluations so far say: the best one, and whether it is time to stop. Travels in the checkpoint. */
import { z } from 'zod';
import { wrongInput } from '../errors.ts';

const historySchema = z.object({
  /** Validation loss of the very step the checkpoint is of, if it was evaluated then; nats per token. */
  loss: z.number().nullable(),
  bestLoss: z.number().nullable(),
  bestStep: z.int().nullable(),
  evaluationsSinceBest: z.int().min(0),
});

export type ValidationHistory = Readonly<z.output<typeof historySchema>>;

export const noEvaluations: ValidationHistory = { loss: null, bestLoss: null, bestStep: null, evaluationsSinceBest: 0 };

/** The history after one more evaluation; an equal loss is no better one. */
export function afterEvaluation(history: ValidationHistory, step: number, loss: number): ValidationHistory {
  return history.bestLoss === null || loss < history.bestLoss
    ? { loss, bestLoss: loss, bestStep: step, evaluationsSinceBest: 0 }
    : { ...history, loss, evaluationsSinceBest: history.evaluationsSinceBest + 1 };
}

/** @param patience evaluations without a new best after which training stops; null = never */
export const isExhausted = (history: ValidationHistory, patience: number | null): boolean =>
  patience !== null && history.evaluationsSinceBest >= patience;

/**
 * A history read from a checkpoint's record; checkpoints that were imported have none.
 * @param path the file it stands in, for messages
 */
export function parseValidationHistory(value: unknown, path: string): ValidationHistory {
  if (value === undefined) return noEvaluations;
  const result = historySchema.safeParse(value);
  if (result.success) return result.data;
  throw wrongInput(
    `${path} is damaged: "validation": ${result.error.issues[0]?.message}. Resume from another checkpoint.`,
  );
}
