/**
 * What a run reports while it trains: plain facts, one type each. The terminal and metrics.jsonl are sinks of them;
 * nothing calls back into the loop.
 */
import type { Config } from '../../config/schema.ts';
import type { FileCounts } from '../../data/files/corpus.ts';
import type { ReadCounts } from '../../data/files/utf8Chunks.ts';
import type { CheckpointRecord, EvaluationRecord, StepRecord } from '../../run/metrics.ts';

/** Training begins; the first fact. A sink that has facts of later steps, from before resuming, discards them. */
export interface StartFact {
  kind: 'start';
  /** Absolute path of the run directory. */
  run: string;
  /** Updates applied before: 0, or those of the checkpoint that is continued. */
  step: number;
  /** Updates of the whole run. */
  steps: number;
  tokensPerStep: number;
  /** Number of parameters of the model. */
  parameters: number;
  /** How many processes train the run together. */
  processes: number;
  /** Those that are trained: of an adapter its own. */
  trainedParameters: number;
  /** Every key, paths absolute. */
  config: Config;
  /** What is probably not meant, in words. */
  warnings: string[];
  /** Counts of what of the corpus is not trained on as it was given. */
  leftOut: Partial<ReadCounts> & FileCounts;
}

/** Training is over; the last fact of a run. */
export interface EndFact {
  kind: 'end';
  /** Updates applied. */
  step: number;
  state: 'done' | 'stopped' | 'failed';
  /** Why it ended before its last step; null if it did not. */
  reason: string | null;
}

/** The session is open: the device it computes on, and why that one. */
export interface DeviceFact {
  kind: 'device';
  device: 'cpu' | 'cuda';
  reason: string;
}

/** Before the first step: how many preference pairs the reference has scored. */
export interface ReferenceFact {
  kind: 'reference';
  done: number;
  pairs: number;
}

/** A completion of `samples.prompt` made during training. */
export interface SampleFact {
  kind: 'sample';
  step: number;
  prompt: string;
  completion: string;
}

/** A checkpoint is about to be written: sinks first put on disk what was reported before. */
export interface SavingFact {
  kind: 'saving';
  step: number;
}

/** A checkpoint could not be written. The one before it is kept; the next one due tries again. */
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

/** How a training ended, for the caller. */
export interface TrainingResult {
  /** Absolute path of the run directory. */
  run: string;
  /** `stopped` if the signal or the time limit ended it before its last step. */
  state: 'done' | 'stopped';
  /** Updates applied, those before resuming included; null if it was stopped before that was known. */
  step: number | null;
  /** Why it ended before its last step; null if it did not. */
  reason: string | null;
  /** The last validation loss, nats per token; null if there was none. */
  validationLoss: number | null;
  /** The device it trained on; null if it did not train, since it was done already or stopped before the first step. */
  device: 'cpu' | 'cuda' | null;
  /** The step that it began at, above 0 if it resumed the run; null if it did not train. */
  startStep: number | null;
  /** Time that it trained, in milliseconds. */
  elapsedMs: number;
  /** Time that the run has trained, in all processes that worked on it. */
  trainedMs: number;
  /** Share of that time, 0 to 1, in which training waited for data. */
  waitingShare: number;
}

/** Anything that a run reports; `kind` tells which. */
export type Fact =
  | StartFact
  | DeviceFact
  | StepRecord
  | EvaluationRecord
  | ReferenceFact
  | SampleFact
  | SavingFact
  | CheckpointRecord
  | SaveFailedFact
  | WarningFact
  | EndFact;

export type Report = (fact: Fact) => void;

/** Something that facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}
