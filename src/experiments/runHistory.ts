/** Everything a run has on record, in columns: for `compare` and `report`, which need more than its end. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { runPaths } from '../checkpoint/runPaths.ts';
import { eachRecord, type MetricsRecord } from './metricsReading.ts';
import { readEnvironment, summarizeRun, type RunEnvironment, type RunSummary } from './runSummary.ts';

/** The updates on record; entry i of every column belongs to the same update. */
export interface Updates {
  step: number[];
  loss: number[];
  learningRate: number[];
  gradientNorm: number[];
  tokensPerSecond: number[];
  /** Time spent training up to this update, stops left out. */
  trainedMs: number[];
}

export interface RunHistory {
  summary: RunSummary;
  environment: RunEnvironment | undefined;
  /** Values of the resolved config by key, such as `model.layers`; lists and their entries as a whole. */
  config: ReadonlyMap<string, unknown>;
  updates: Updates;
  evaluations: MetricsRecord[];
}

export function readHistory(runDirectory: string): RunHistory {
  const updates: Updates = { step: [], loss: [], learningRate: [], gradientNorm: [], tokensPerSecond: [], trainedMs: [] };
  const evaluations: MetricsRecord[] = [];
  // `elapsedMs` begins anew in each process that resumes the run.
  let beforeMs = 0;
  let lastMs = 0;
  eachRecord(runPaths(runDirectory).metrics, (records) => {
    for (const record of records) {
      if (record.kind === 'evaluation') evaluations.push(record);
      if (record.kind !== 'step') continue;
      const elapsedMs = Number(record['elapsedMs'] ?? lastMs);
      if (elapsedMs < lastMs) beforeMs += lastMs;
      lastMs = elapsedMs;
      updates.step.push(record.step);
      updates.loss.push(value(record['loss']));
      updates.learningRate.push(value(record['learningRate']));
      updates.gradientNorm.push(value(record['gradientNorm']));
      updates.tokensPerSecond.push(value(record['tokensPerSecond']));
      updates.trainedMs.push(beforeMs + elapsedMs);
    }
  });
  const summary = summarizeRun(runDirectory);
  return { summary, environment: readEnvironment(runDirectory), config: readFlatConfig(runDirectory), updates, evaluations };
}

const value = (read: unknown): number => (typeof read === 'number' ? read : NaN);

/** Empty where the run has no config.yaml that can be read. */
function readFlatConfig(runDirectory: string): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  const add = (key: string, inner: unknown): void => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return void flat.set(key, inner);
    for (const [name, each] of Object.entries(inner)) add(key === '' ? name : `${key}.${name}`, each);
  };
  try {
    add('', parse(readFileSync(runPaths(runDirectory).config, 'utf8')));
  } catch {
    return new Map(); // a run without config is compared by its figures alone
  }
  return flat;
}
