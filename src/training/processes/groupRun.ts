/** A run trained by a group of processes, from the meeting to the end of each. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ExpectedError, failureOfKind, type FailureKind } from '../../errors.ts';
import type { ProcessGroup } from '../../processes/group.ts';
import { nameOf } from '../../processes/identity.ts';
import { runPaths } from '../../run/runPaths.ts';
import { shellPath } from '../../shellWord.ts';
import type { StartedRanks } from './startRanks.ts';

/** What this process knows of the others; how they ended only if it has started them. */
export type OpenedGroup = Pick<StartedRanks, 'group'> & Partial<StartedRanks>;

/**
 * Does work with the other processes, and ends with them.
 * @throws what the work throws, which the others are told; the failure of another process
 */
export async function inGroup<Result>(
  { group, endOf, kill }: OpenedGroup,
  runDirectory: string,
  work: (group: ProcessGroup) => Promise<Result>,
): Promise<Result> {
  try {
    const result = await work(group);
    await group.leave();
    return result;
  } catch (error) {
    if (group.failure === undefined) {
      if (!(error instanceof ExpectedError && error.isShared)) tell(group, error);
      throw error;
    }
    group.acknowledgeFailure();
    throw await explained(group, endOf, runDirectory);
  } finally {
    kill?.();
  }
}

/** Tells the others why this process fails. */
function tell(group: ProcessGroup, error: unknown): void {
  const isExpected = error instanceof ExpectedError;
  const message = isExpected ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  const kind: FailureKind = isExpected ? error.kind : 'environment';
  // A divergence is seen by all at the same step, and rank 0 reports it.
  if (kind !== 'diverged')
    group.fail(`${nameOf(group.rank, group.identities[group.rank])} has failed: ${message}`, kind);
}

/** The failure of the group, with how the process ended that failed and how the run is continued. */
async function explained(
  group: ProcessGroup,
  endOf: StartedRanks['endOf'] | undefined,
  runDirectory: string,
): Promise<ExpectedError> {
  const { message, kind, rank, isSaid, culprit } = group.failure!;
  const hasGone = culprit === undefined; // else it was ended because of the failure
  const end = rank !== undefined && rank > 0 && hasGone ? await endOf?.(rank) : undefined;
  const how = end === undefined ? '' : ` It ended by ${end}${end === 'SIGKILL' ? ', perhaps for lack of memory' : ''}.`;
  const shown = path.relative(process.cwd(), runDirectory) || '.';
  const advice =
    kind === 'environment' && existsSync(runPaths(runDirectory).config)
      ? `\nThe checkpoints are whole. To continue: clm train --run ${shellPath(shown)} --resume` +
        ` --processes ${group.size}`
      : '';
  const failure = failureOfKind(kind, `${message}${how}${advice}`);
  failure.isSaid = isSaid;
  return failure;
}
