/** How far a run has come: steps, position in the training sequence, evaluations. Saved in every checkpoint. */
import path from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { parseCursor, type Cursor } from '../data/windows/cursor.ts';
import { DamagedCheckpointError } from '../errors.ts';

export interface Progress {
  /** Updates applied. */
  step: number;
  /** Position after the last micro-batch used: what was read ahead is neither lost nor repeated. */
  cursor: Cursor | undefined;
  validation: ValidationHistory;
}

/** The best evaluation so far, and whether it is time to stop. */
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

/** The progress that a checkpoint holds; without one, that of a fresh run. @throws wrong input if it is damaged */
export function progressOf(checkpoint: Checkpoint | undefined): Progress {
  if (checkpoint === undefined) return { step: 0, cursor: undefined, validation: noEvaluations };
  const { step, state } = checkpoint;
  const file = path.join(checkpoint.path, 'state.json');
  const cursor = parseCursor(state.cursor, file);
  const validation = historySchema.safeParse(state['validation']);
  if (validation.success) return { step, cursor, validation: validation.data };
  throw new DamagedCheckpointError(
    `${file} is damaged: "validation": ${validation.error.issues[0]?.message}. Resume from another checkpoint.`,
  );
}
