/**
 * Saving while training continues: the state is read between two steps (the snapshot), then hashed and written while
 * the next steps run. Never two saves at once: a checkpoint that is due while another is being written waits for it. If
 * the disk refuses a save, that is reported and the next one due tries again; only the last save of a run must succeed.
 */
import { saveCheckpoint } from '../checkpoint/checkpoint.ts';
import { renderConfig } from '../config/resolved.ts';
import { checkpointPath } from '../run/findCheckpoint.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { environmentFailure, ExpectedError, failureOfKind, wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { assertFinite } from './divergence.ts';
import type { PreparedTraining } from './prepare.ts';
import type { RunPrograms } from './programs.ts';
import type { Progress } from './progress.ts';
import { microBatchesBefore, microBatchTokens } from './plan/stages.ts';
import type { Report } from './sinks/facts.ts';

export interface Saves {
  /** Takes the snapshot; the write continues after the promise settles. */
  begin(progress: Progress): Promise<void>;
  /** Waits for the save under way. @throws environmentFailure if the newest save failed */
  finished(): Promise<void>;
  /**
   * For a failure to read the corpus, which must not cost what was trained: saves `progress` unless that has been
   * done, then throws the failure, which also says how to continue if the state is on disk.
   */
  failAfterSaving(failure: unknown, progress: Progress): Promise<never>;
}

/** Saves checkpoints into the run directory. The values of a snapshot are released once they are on disk. */
export function openSaves(
  { config, plan, tokenizer, runDirectory, progress, base }: PreparedTraining,
  programs: Pick<RunPrograms, 'readState' | 'releaseState'>,
  report: Report,
  permit: (() => Promise<string | undefined>) | undefined,
): Saves {
  // All checkpoints are at the same depth below the run, so the text is the same for every step.
  const configText = renderConfig(config, checkpointPath(runDirectory, 0));
  const texts = { configText, tokenizerText: renderTokenizer(tokenizer) };
  return backgroundSaves({
    startStep: progress.step,
    report,
    permit,
    snapshot: async ({ step, cursor, validation }) => {
      const tensors = await programs.readState();
      assertFinite([...tensors.model, ...tensors.optimizer], step);
      const pin = base && { base: { step: base.step, sha256: base.sha256 } };
      const tokens = microBatchesBefore(plan.stages, step) * microBatchTokens(config);
      return { step, state: { cursor, tokens, validation, ...pin }, ...texts, ...tensors };
    },
    write: async (content, moved) => {
      const folder = await saveCheckpoint(moved ?? runDirectory, content, config.checkpoints);
      programs.releaseState(content);
      return folder;
    },
  });
}

interface SaveActions<Snapshot> {
  /** The step of the checkpoint that the run continues from, or 0. */
  startStep: number;
  report: Report;
  /** Called before anything is written; throws if writing is not allowed. See `RunLock.renew`. */
  permit?: (() => Promise<string | undefined>) | undefined;
  /** Reads the state from the session; no program may run meanwhile. */
  snapshot(progress: Progress): Promise<Snapshot>;
  /** Writes the checkpoint and returns its folder. @param moved where the run directory is, if it was renamed */
  write(content: Snapshot, moved: string | undefined): Promise<string>;
}

export function backgroundSaves<Snapshot>(actions: SaveActions<Snapshot>): Saves {
  const { report } = actions;
  let underWay: Promise<void> = Promise.resolve();
  let failure: ExpectedError | undefined;
  let bug: unknown;
  let newestStep = actions.startStep;
  const attempt = async (step: number, save: () => Promise<void>): Promise<void> => {
    try {
      await save();
      failure = undefined;
    } catch (error) {
      if (!(error instanceof ExpectedError) || error.kind !== 'environment') throw error;
      failure = error;
      report({ kind: 'saveFailed', step, message: error.message });
    }
  };
  const begin = async (progress: Progress): Promise<void> => {
    const { step } = progress;
    newestStep = step;
    await underWay;
    if (bug !== undefined) throw bug;
    let moved: string | undefined;
    await attempt(step, async () => {
      moved = await actions.permit?.();
      report({ kind: 'saving', step });
      const content = await actions.snapshot(progress);
      underWay = attempt(step, async () => {
        const path = await actions.write(content, moved);
        report({ kind: 'checkpoint', step, path });
      }).catch((error: unknown) => void (bug = error));
    });
    if (moved === undefined) return;
    await finished();
    throw wrongInput(
      `The run directory was moved to ${moved} while it was being written. The run was saved there after step ` +
        `${step}. To continue: clm train --run ${shellPath(moved)} --resume`,
    );
  };
  const finished = async (): Promise<void> => {
    await underWay;
    if (bug !== undefined) throw bug;
    if (failure === undefined) return;
    throw environmentFailure(
      `The last checkpoint could not be saved; the one before it is kept. ${failure.message}\n` +
        'Once this is fixed, continue the run with --resume.',
      { cause: failure.cause },
    );
  };
  return {
    begin,
    finished,
    failAfterSaving: async (error, progress) => {
      if (progress.step > newestStep) await begin(progress);
      const isOnDisk =
        progress.step > 0 &&
        (await finished().then(
          () => true,
          () => false, // the refusal has been reported
        ));
      throw isOnDisk ? resumable(error, progress.step) : error;
    },
  };
}

const resumable = (failure: unknown, step: number): unknown =>
  failure instanceof ExpectedError
    ? failureOfKind(
        failure.kind,
        `${failure.message}\nThe run was saved after step ${step}. Once this is fixed, continue it with --resume.`,
        { cause: failure },
      )
    : failure;
