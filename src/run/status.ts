/** `status.json`: how a run stands, for those who look from outside; replaced as a whole at every change. */
import { join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { errorCode, diskFailure } from '../storage/diskFailure.ts';
import { writeFileDurably } from '../storage/durable.ts';
import { liveHolder } from './lock.ts';
import { runPaths } from './runPaths.ts';

export interface RunStatus {
  state: 'running' | 'done' | 'stopped' | 'failed';
  /** Updates made when this was written. */
  step: number;
  /** Updates of the whole run. */
  steps: number;
  /** Why it stopped, failed, or was done before its last step. */
  reason: string | null;
  updatedAt: string;
}

/** A status as it is read: a run that was running when its process was killed is `interrupted`. */
type ObservedStatus = Omit<RunStatus, 'state'> & { state: RunStatus['state'] | 'interrupted' };

/** @throws environmentFailure when the disk refuses */
export const writeRunStatus = (runDirectory: string, status: Omit<RunStatus, 'updatedAt'>): Promise<void> =>
  writeFileDurably(
    runPaths(runDirectory).status,
    `${JSON.stringify({ ...status, updatedAt: new Date().toISOString() })}\n`,
  );

/** @returns undefined where there is no status, or none that can be read as one */
export async function readRunStatus(runDirectory: string): Promise<ObservedStatus | undefined> {
  const path = join(runPaths(runDirectory).status);
  try {
    const status = JSON.parse(readBounded(path).toString('utf8')) as ObservedStatus | null;
    if (typeof status?.step !== 'number' || typeof status.state !== 'string') return undefined;
    if (status.state === 'running' && (await liveHolder(runDirectory)) === undefined) status.state = 'interrupted';
    return status;
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR')
      return undefined;
    throw diskFailure(error, 'read', path);
  }
}
