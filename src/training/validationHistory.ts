/** The evaluations of a run so far: the best one, and whether it is time to stop. Saved in every checkpoint. */
import { z } from 'zod';
import { wrongInput } from '../errors.ts';

const historySchema = z.object({
  /** Validation loss of this very step, nats per token; null if not evaluated. `keepBest` ranks checkpoints by it. */
  loss: z.number().nullable(),
  bestLoss: z.number().nullable(),
  bestStep: z.int().nullable(),
  evaluationsSinceBest: z.int().min(0),
});

export type ValidationHistory = Readonly<z.output<typeof historySchema>>;

export const noEvaluations: ValidationHistory = { loss: null, bestLoss: null, bestStep: null, evaluationsSinceBest: 0 };

/** The history after one more evaluation; an equal loss does not count as better. */
export function afterEvaluation(history: ValidationHistory, step: number, loss: number): ValidationHistory {
  return history.bestLoss === null || loss < history.bestLoss
    ? { loss, bestLoss: loss, bestStep: step, evaluationsSinceBest: 0 }
    : { ...history, loss, evaluationsSinceBest: history.evaluationsSinceBest + 1 };
}

/** The history after an update: the model has changed, so the loss of the last evaluation is not that of this step. */
export const afterUpdate = (history: ValidationHistory): ValidationHistory => ({ ...history, loss: null });

/** @param patience evaluations without a new best after which training stops; null = never */
export const isExhausted = (history: ValidationHistory, patience: number | null): boolean =>
  patience !== null && history.evaluationsSinceBest >= patience;

/**
 * An untrained model gives each of V tokens a probability of about 1/V, so its loss is about ln V. Another first loss
 * means that the initialisation or the targets are wrong.
 * @param loss validation loss at step 0, nats per token
 */
export function firstLossWarning(loss: number, vocabularySize: number): string | undefined {
  const expected = Math.log(vocabularySize);
  if (vocabularySize < 2 || Math.abs(loss - expected) <= 0.3 * expected) return undefined;
  return (
    `the loss before training is ${loss.toFixed(3)}, but an untrained model with ${vocabularySize} tokens has about ` +
    `ln ${vocabularySize} = ${expected.toFixed(3)}: check the initialisation and the tokenizer`
  );
}

/**
 * The history in a checkpoint's state; imported checkpoints have none.
 * @param path the file it was read from, for messages
 */
export function parseValidationHistory(value: unknown, path: string): ValidationHistory {
  if (value === undefined) return noEvaluations;
  const result = historySchema.safeParse(value);
  if (result.success) return result.data;
  throw wrongInput(
    `${path} is damaged: "validation": ${result.error.issues[0]?.message}. Resume from another checkpoint.`,
  );
}
