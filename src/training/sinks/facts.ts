/**
 * What the loop reports: plain facts, one type each. The terminal and metrics.jsonl are sinks of them and
 * nothing calls back into the loop.
 */
import type { CheckpointRecord, EvaluationRecord, StepRecord } from '../../run/metrics.ts';

/** The session stands: where it computes and why. */
export interface DeviceFact {
  kind: 'device';
  device: 'cpu' | 'cuda';
  reason: string;
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
  | StepRecord
  | EvaluationRecord
  | SampleFact
  | SavingFact
  | CheckpointRecord
  | SaveFailedFact
  | WarningFact;

export type Report = (fact: Fact) => void;

/** Something facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}
