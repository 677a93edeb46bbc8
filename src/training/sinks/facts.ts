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

/** Anything that a run reports; `kind` tells which. */
export type Fact =
  | StartFact
  | DeviceFact
  | StepRecord
  | EvaluationRecord
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
