/** The JavaScript API for the files of a run: everything that a run directory tells, as typed objects. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { validationLossOf } from '../checkpoint/retention.ts';
import { parseResolvedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { InputError } from '../errors.ts';
import { summarizeRun, type RunSummary } from '../experiments/runSummary.ts';
import { readEnvironment, type Environment } from '../run/environment.ts';
import { listCheckpoints, nothingThere } from '../run/findCheckpoint.ts';
import { completeLines, parseRecord, type MetricsRecord } from '../run/metrics.ts';
import { runPaths } from '../run/runPaths.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { checkDirectory } from './arguments.ts';
import { loadRun, type LoadOptions, type Run } from './model.ts';

/** A checkpoint of a run. Its files are checked when it is loaded. */
export interface SavedCheckpoint {
  /** Updates applied. */
  step: number;
  /** Its folder. */
  path: string;
  /** The loss on the validation text at this very step, nats per token; null if it was not evaluated there. */
  validationLoss: number | null;
}

/** A completion made during training. */
export interface SavedSample {
  /** Updates applied when it was made. */
  step: number;
  /** The prompt and its completion. */
  text: string;
}

/**
 * The files of a run. Each method reads them anew, so that a run can be watched while it trains; nothing is written.
 */
export interface RunDirectory {
  /** Absolute path. */
  readonly directory: string;
  /** The resolved config: every key, paths absolute. */
  readonly config: Config;
  /** The tokenizer of the run. */
  readonly tokenizer: Tokenizer;
  /** Machine, versions, device and command of the last start; undefined if the file is missing or damaged. */
  readonly environment: Partial<Environment> | undefined;
  /** State, progress, losses and speed as of now. */
  status(): RunSummary;
  /** The records of `metrics.jsonl` in their order; a number that was not finite is NaN. */
  metrics(): Generator<MetricsRecord, void, void>;
  /** The checkpoints on disk in the order of their steps. */
  checkpoints(): Promise<SavedCheckpoint[]>;
  /** The completions made during training, in the order of their steps. */
  samples(): SavedSample[];
  /** Loads the model, as `loadRun` with this directory. */
  load(options?: LoadOptions): Promise<Run>;
}

/**
 * Opens the directory of a run for reading, also while it is being trained.
 *
 * @param directory a run directory
 * @throws InputError if there is no run; ConfigError if its config is not valid; EnvironmentError if the disk refuses
 */
export async function openRun(directory: string): Promise<RunDirectory> {
  checkDirectory(directory, 'openRun');
  const absolute = path.resolve(directory);
  const paths = runPaths(absolute);
  const configText = await fileOf(absolute, paths.config);
  const tokenizerText = await fileOf(absolute, paths.tokenizer);
  return {
    directory: absolute,
    config: parseResolvedConfig(configText, paths.config),
    tokenizer: tokenizerFromFile(tokenizerText, paths.tokenizer),
    get environment() {
      return readEnvironment(absolute);
    },
    status: () => summarizeRun(absolute),
    metrics: () => recordsOf(paths.metrics),
    checkpoints: async () => {
      const places = await listCheckpoints(absolute);
      return Promise.all(
        places.map(async (place) => ({ ...place, validationLoss: (await validationLossOf(place.path)) ?? null })),
      );
    },
    samples: () => samplesIn(paths.samples),
    load: (options) => loadRun(absolute, options),
  };
}

async function fileOf(directory: string, file: string): Promise<string> {
  try {
    return readBounded(file).toString('utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) throw new InputError(await nothingThere(directory));
    throw diskFailure(error, 'read', file);
  }
}

function* recordsOf(file: string): Generator<MetricsRecord, void, void> {
  for (const bytes of completeLines(file)) {
    for (const line of bytes.toString('utf8', 0, bytes.length - 1).split('\n')) {
      const record = parseRecord(line);
      if (record !== undefined) yield withNumbers(record);
    }
  }
}

/** JSON has no NaN. */
const withNumbers = (record: MetricsRecord): MetricsRecord =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value ?? NaN])) as unknown as MetricsRecord;

function samplesIn(folder: string): SavedSample[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw diskFailure(error, 'read', folder);
  }
  return names
    .filter((name) => /^step-\d{8,}\.txt$/.test(name))
    .map((name) => ({
      step: parseInt(name.slice('step-'.length), 10),
      text: readBounded(path.join(folder, name)).toString('utf8'),
    }))
    .sort((a, b) => a.step - b.step);
}
