/**
 * What a run reports while it trains: plain facts, one type each. The terminal and metrics.jsonl are sinks of them;
 * nothing calls back into the loop.
 */
import type { CheckpointRecord, EvaluationRecord, StepRecord } from '../../run/metrics.ts';

/** The session is open: the device it computes on, and why that one. */
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

/** A checkpoint is about to be written: sinks must first put on disk what was reported before. */
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

/** Something that facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}
