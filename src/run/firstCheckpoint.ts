/** What to say of a run that has no checkpoint yet: when its first one comes, and how to have one now. */
import { hostname } from 'node:os';
import { parseResolvedConfig } from '../config/load.ts';
import { shellPath } from '../shellWord.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { timeText } from '../units.ts';
import { readEnvironment } from './environment.ts';
import { liveHolder } from './lock.ts';
import { readMetricsTail } from './readMetrics.ts';
import { runPaths } from './runPaths.ts';

export function withoutCheckpoint(runDirectory: string): string {
  const holder = liveHolder(runDirectory);
  const nothing = `The run at ${runDirectory} has no checkpoint yet`;
  if (holder === undefined)
    return `${nothing}, and is not running. To train it: clm train --run ${shellPath(runDirectory)} --resume`;
  const { step, msPerStep } = lastUpdates(runDirectory);
  const steps = readEnvironment(runDirectory)?.plan?.steps;
  const first = Math.min(everySteps(runDirectory), steps ?? Infinity);
  const left = msPerStep === undefined ? '' : `, in about ${timeText((first - step) * msPerStep)}`;
  const when = Number.isFinite(first) ? `the first comes at step ${first}${left}` : 'the first comes at its end';
  const where = holder.host === hostname() ? '' : ` (on ${holder.host})`;
  return (
    `${nothing}: it is at step ${step}${steps === undefined ? '' : ` of ${steps}`}, ${when}. ` +
    `To have it saved now${where}: kill -USR1 ${holder.pid}`
  );
}

/** Steps between two checkpoints; Infinity if only the end is saved, or that is not known. */
function everySteps(runDirectory: string): number {
  const file = runPaths(runDirectory).config;
  try {
    return parseResolvedConfig(readBounded(file).toString('utf8'), file).checkpoints.everySteps ?? Infinity;
  } catch {
    return Infinity; // the message is about another problem
  }
}

function lastUpdates(runDirectory: string): { step: number; msPerStep: number | undefined } {
  const updates = (readMetricsTail(runPaths(runDirectory).metrics)?.records ?? []).filter(
    ({ kind }) => kind === 'step',
  );
  const [first, last] = [updates[0], updates.at(-1)];
  if (last?.kind !== 'step' || first?.kind !== 'step') return { step: 0, msPerStep: undefined };
  const made = last.step - first.step;
  return { step: last.step, msPerStep: made > 0 ? (last.elapsedMs - first.elapsedMs) / made : undefined };
}
