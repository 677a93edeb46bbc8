/**
 * What the loop reports: plain facts, one type each. The terminal and metrics.jsonl are sinks of them and
 * nothing calls back into the loop.
 */
import type { SourceEvaluation } from '../step/evaluation.ts';
import type { SkipReason } from '../step/guard.ts';

/** The session stands: where it computes and why. */
export interface DeviceFact {
  kind: 'device';
  device: 'cpu' | 'cuda';
  reason: string;
}

/** Update `step` was made; its loss is the mean over its targets before the update, nats per token. */
export interface StepFact {
  kind: 'step';
  step: number;
  loss: number;
  learningRate: number;
  gradientNorm: number;
  /** Places that the loss is taken of; absent where it is all of them, without prompts and padding. */
  targets?: number;
  /** Why the update was not made; absent where it was. */
  skipped?: SkipReason;
  /** Padding not counted. */
  tokensPerSecond: number;
  /** Since this process began to train. */
  elapsedMs: number;
}

/** Loss on the whole validation text after `step` updates. */
export interface EvaluationFact {
  kind: 'evaluation';
  step: number;
  loss: number;
  perplexity: number;
  bitsPerByte: number;
  /** Targets scored. */
  tokens: number;
  /** The same of each source of a mixture, and the tokens of it that have been trained on. */
  sources?: Record<string, SourceEvaluation>;
}

export interface SampleFact {
  kind: 'sample';
  step: number;
  prompt: string;
  completion: string;
}

/** A checkpoint is about to be written; what was reported before belongs on disk first. */
export interface SavingFact {
  kind: 'saving';
  step: number;
}

export interface CheckpointFact {
  kind: 'checkpoint';
  step: number;
  path: string;
}

/** A checkpoint could not be written; the one before it stays, the next that is due tries again. */
export interface SaveFailedFact {
  kind: 'saveFailed';
  step: number;
  message: string;
}

/** Something the user should know although training goes on. */
export interface WarningFact {
  kind: 'warning';
  step: number;
  message: string;
}

export type Fact =
  | DeviceFact
  | StepFact
  | EvaluationFact
  | SampleFact
  | SavingFact
  | CheckpointFact
  | SaveFailedFact
  | WarningFact;

export type Report = (fact: Fact) => void;

/** Something facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}
