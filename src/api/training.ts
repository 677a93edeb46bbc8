/** The JavaScript API for training: `train` does what `clm train` does, to the bit. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigSource } from '../config/layers.ts';
import type { ConfigInput } from '../config/schema.ts';
import { InputError } from '../errors.ts';
import type { Fact, TrainingResult } from '../training/sinks/facts.ts';
import { startTimeLimit } from '../training/timeLimit.ts';
import { trainRun } from '../training/trainRun.ts';
import { checkOptions } from './arguments.ts';

/** The options of `train`: those of `clm train`, under the same names, and what a program needs besides. */
export interface TrainOptions {
  /** Run directory; the default is `runs/<name of the config>` below the working directory. */
  run?: string;
  /** Continue from the newest valid checkpoint, or start at step 0 if there is none yet; default false. */
  resume?: boolean;
  /** Overrides of config keys, such as `training.steps=100`; later ones override earlier ones. */
  set?: readonly string[];
  /** Where to train; the default is the config's. Fixed for the process by the first model or training in it. */
  device?: 'auto' | 'cpu' | 'cuda';
  /** Train on the first batch only, as a sanity check; default false. */
  overfitBatch?: boolean;
  /** Run operation by operation, without recording: slower, for comparison; default false. */
  eager?: boolean;
  /** Train with this many processes, of which this one is rank 0 and the others are started here; default 1. */
  processes?: number;
  /** Save and stop within this many milliseconds from the call. */
  maxTimeMs?: number;
  /** Evaluate, save and stop once the run has made this many steps; `resume` goes on. */
  untilStep?: number;
  /** Aborting it stops training as a signal stops the command: the step under way is finished and saved. */
  signal?: AbortSignal;
  /**
   * Called with every fact as it happens, between two steps: it should be quick. If it throws or returns a promise that
   * rejects, the run is saved and stopped, and `train` rejects with that error.
   */
  onFact?: (fact: Fact) => unknown;
}

const optionNames = 'run resume set device overfitBatch eager processes maxTimeMs untilStep signal onFact'.split(' ');

/**
 * Trains a model into a run directory, or continues a run.
 *
 * @param config a path (text of one line, or a file URL); YAML text (of several lines, or beginning with `{`); or the
 *   keys as an object. Relative paths in a file refer to its folder, all others to the working directory. undefined to
 *   continue the run in `options.run` with the config it has
 * @returns how it ended: `done`, or `stopped` and saved by the signal or the time limit
 * @throws ConfigError if the config is not valid; InputError if the corpus or the run directory do not allow the run,
 *   or another process trains it; DamagedCheckpointError if no checkpoint can be resumed; EnvironmentError if disk,
 *   memory or device fail; DivergedError if a loss is no longer finite. A run that is refused leaves nothing on disk
 */
export async function train(
  config: ConfigInput | string | URL | undefined,
  options: TrainOptions = {},
): Promise<TrainingResult> {
  const beganMs = performance.now();
  checkOptions(options, 'train', optionNames);
  const { run, resume = false, set = [], device, overfitBatch = false, eager = false, maxTimeMs, onFact } = options;
  if (maxTimeMs !== undefined && !(maxTimeMs > 0))
    throw new InputError(`maxTimeMs must be a number of milliseconds above 0, not ${maxTimeMs}`);
  const { untilStep, processes = 1 } = options;
  if (!(Number.isSafeInteger(processes) && processes > 0))
    throw new InputError(`processes must be a whole number above 0, not ${processes}`);
  if (eager && processes > 1)
    throw new InputError('eager and processes exclude each other: processes exchange gradients in recorded programs');
  if (untilStep !== undefined && !(Number.isSafeInteger(untilStep) && untilStep > 0))
    throw new InputError(`untilStep must be a number of steps above 0, not ${untilStep}`);
  const pause = untilStep === undefined ? undefined : { text: `untilStep ${untilStep}`, step: untilStep };
  const stopping = new AbortController();
  const signal = options.signal === undefined ? stopping.signal : AbortSignal.any([options.signal, stopping.signal]);
  const limit =
    maxTimeMs === undefined ? undefined : startTimeLimit(maxTimeMs, beganMs, () => stopping.abort('maxTimeMs'));
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    stopping.abort('onFact failed');
  };
  const report = (fact: Fact): void => {
    try {
      Promise.resolve(onFact?.(fact)).catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  const overrides = [
    ...set,
    ...(device === undefined ? [] : [`device=${device}`]),
    ...(overfitBatch ? ['training.overfitBatch=true'] : []),
  ];
  try {
    const result = await trainRun(
      { config: sourceOf(config), runDirectory: run, set: overrides, resume },
      { mode: eager ? 'eager' : 'recorded', signal, limit, pause, processes, command: commandOf(process.argv), report },
    );
    if (failure !== undefined) throw failure.error;
    return result;
  } finally {
    limit?.close();
  }
}

function sourceOf(config: ConfigInput | string | URL | undefined): ConfigSource | undefined {
  if (config instanceof URL) return fileURLToPath(config);
  if (typeof config === 'string') return /\n|^\s*\{/.test(config) ? { yaml: config } : config;
  if (typeof config === 'object' && config !== null) return { keys: config };
  if (config === undefined) return undefined;
  throw new InputError('the config must be a path, a URL, YAML text or an object');
}

/** The command line of this program, without the folder that it is in. */
const commandOf = ([, script = '', ...args]: readonly string[]): string[] => ['node', path.basename(script), ...args];
