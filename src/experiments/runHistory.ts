/** All logged updates and evaluations of a run, in columns, with its config; `compare` and `report` need them. */
import { createHash } from 'node:crypto';
import { parse } from 'yaml';
import { parseManifest, type CorpusManifest } from '../data/manifest.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { readEnvironment, type Environment } from '../run/environment.ts';
import { runPaths } from '../run/runPaths.ts';
import { parseResolvedConfig } from '../config/load.ts';
import { ExpectedError } from '../errors.ts';
import { completeLines, parseRecord, type EvaluationRecord, type StepRecord } from '../run/metrics.ts';
import { finite, summarizeRun, type RunSummary } from './runSummary.ts';
import { rungText, stoppedAt } from './sweep/halving.ts';
import { addTrainedTime } from '../run/trainedTime.ts';
import { scanUpdate, type ScannedUpdate } from '../run/updateScanner.ts';

/** The logged updates; entry i of every column belongs to the same update. */
export interface Updates {
  step: number[];
  loss: number[];
  learningRate: number[];
  gradientNorm: number[];
  tokensPerSecond: number[];
  /** Time spent training up to this update, without the pauses between stop and resume. */
  trainedMs: number[];
}

export interface RunHistory {
  summary: RunSummary;
  environment: Partial<Environment> | undefined;
  /**
   * Values of the resolved config by key, such as `model.layers` or `corpus.sources[0].path`. A list of plain values
   * is one value.
   */
  config: ReadonlyMap<string, unknown>;
  /** The files of its text; undefined if they are not recorded. */
  corpus: CorpusManifest | undefined;
  /** Hash of its tokenizer.json; undefined without one. */
  tokenizerSha256: string | undefined;
  updates: Updates;
  evaluations: EvaluationRecord[];
  /** Where the halving of its sweep stopped it, e.g. `200 steps`; null if it did not. */
  halvedAt: string | null;
}

export function readRunHistory(runDirectory: string): RunHistory {
  const updates: Updates = {
    step: [],
    loss: [],
    learningRate: [],
    gradientNorm: [],
    tokensPerSecond: [],
    trainedMs: [],
  };
  const evaluations: EvaluationRecord[] = [];
  const trained = addTrainedTime();
  const take = (update: ScannedUpdate): void => {
    updates.step.push(update.step);
    updates.loss.push(update.loss);
    updates.learningRate.push(update.learningRate);
    updates.gradientNorm.push(update.gradientNorm);
    updates.tokensPerSecond.push(update.tokensPerSecond);
    updates.trainedMs.push(trained.add(update.elapsedMs));
  };
  const scanned = updateOf({});
  for (const bytes of completeLines(runPaths(runDirectory).metrics)) {
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(0x0a, at);
      if (scanUpdate(bytes, at, end, scanned)) take(scanned);
      else {
        const record = parseRecord(bytes.toString('utf8', at, end));
        if (record?.kind === 'evaluation') evaluations.push(record);
        if (record?.kind === 'step') take(updateOf(record));
      }
      at = end + 1;
    }
  }
  const summary = summarizeRun(runDirectory);
  const halving = summary.state === 'stopped' ? stoppedAt(runDirectory) : undefined;
  return {
    summary,
    halvedAt: halving === undefined ? null : rungText(halving),
    environment: readEnvironment(runDirectory),
    config: readFlatConfig(runDirectory),
    corpus: readManifest(runDirectory),
    tokenizerSha256: hashOf(runPaths(runDirectory).tokenizer),
    updates,
    evaluations,
  };
}

/** A record that JSON.parse has read; missing numbers are NaN. */
function updateOf(record: Partial<StepRecord>): ScannedUpdate {
  return {
    step: record.step ?? NaN,
    loss: finite(record.loss) ?? NaN,
    learningRate: finite(record.learningRate) ?? NaN,
    gradientNorm: finite(record.gradientNorm) ?? NaN,
    tokensPerSecond: finite(record.tokensPerSecond) ?? NaN,
    elapsedMs: finite(record.elapsedMs) ?? NaN,
  };
}

/** Empty if the run has no readable config.yaml. */
function readFlatConfig(runDirectory: string): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  const add = (key: string, inner: unknown): void => {
    if (Array.isArray(inner) && inner.some((each) => typeof each === 'object' && each !== null))
      return void inner.forEach((each, i) => add(`${key}[${i}]`, each));
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return void flat.set(key, inner);
    for (const [name, each] of Object.entries(inner)) add(key === '' ? name : `${key}.${name}`, each);
  };
  const path = runPaths(runDirectory).config;
  try {
    add('', resolvedOrRaw(readBounded(path).toString('utf8'), path));
  } catch {
    return new Map(); // such a run is compared by its losses alone
  }
  return flat;
}

/** The files of the run's text; undefined if it has no readable corpus.json. */
function readManifest(runDirectory: string): CorpusManifest | undefined {
  const path = runPaths(runDirectory).corpus;
  try {
    return parseManifest(readBounded(path).toString('utf8'), path);
  } catch {
    return undefined;
  }
}

function hashOf(path: string): string | undefined {
  try {
    return createHash('sha256').update(readBounded(path)).digest('hex');
  } catch {
    return undefined;
  }
}

/** Adds defaults for keys newer than the run. A config that this version of clm rejects is returned as it is. */
function resolvedOrRaw(text: string, path: string): unknown {
  try {
    return parseResolvedConfig(text, path);
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    return parse(text);
  }
}
