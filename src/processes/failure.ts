/** Why a group of processes has ended before its time, as all of them are told. */
import type { FailureKind } from '../errors.ts';
import { nameOf, type Identity } from './identity.ts';
import type { Verdict } from './watch.ts';

export interface GroupFailure {
  message: string;
  kind: FailureKind;
  /** Of the process that has failed, if it is one. */
  rank?: number;
  /** Who is to blame, if that is known and it may have to be ended. */
  culprit?: { rank: number } & Identity;
}

/** @param who of every rank by its number */
export function failureOf(verdict: Verdict, who: ReadonlyMap<number, Identity>, step: number, idleMs: number) {
  const seconds = `${Math.round(idleMs / 1000)} s`;
  if (verdict.kind === 'stalled') {
    const names = [...who].sort(([a], [b]) => a - b).map(([rank, known]) => nameOf(rank, known));
    return expected(
      `The processes wait for each other in step ${step}, and for ${seconds} none of them has computed or sent ` +
        `anything: a connection between the TensorFlow servers of ${names.join(', ')} has been lost.`,
    );
  }
  const { rank } = verdict;
  const culprit = { rank, ...who.get(rank)! };
  const name = nameOf(rank, who.get(rank));
  return expected(
    verdict.kind === 'silent'
      ? `${name} has not been heard of for ${seconds}, ${whenOf(step)}: it was stopped, or its network is down.`
      : `${name} has made no progress for ${seconds}, ${whenOf(step)}: the others wait for it, but it ` +
          'neither computes nor reads anything.',
    culprit,
  );
}

/** The connection of two ranks has closed. On one machine the other has ended; over a network that is not certain. */
export function endedFailure(
  rank: number,
  ownRank: number,
  who: ReadonlyMap<number, Identity>,
  step: number,
): GroupFailure {
  const isNear = who.get(rank)?.machine === who.get(ownRank)?.machine;
  const orCut = isNear ? '' : ', or the connection to it was cut';
  return { ...expected(`${nameOf(rank, who.get(rank))} has ended unexpectedly${orCut}, ${whenOf(step)}.`), rank };
}

/** TensorFlow itself has said that it no longer reaches the server of a rank, which is still heard of. */
export const unreachableFailure = (rank: number, known: Identity | undefined, step: number): GroupFailure =>
  expected(`The connection to the TensorFlow server of ${nameOf(rank, known)} was cut, ${whenOf(step)}.`);

const whenOf = (step: number): string => (step === 0 ? 'before the first step' : `in step ${step}`);

/**
 * Whether another process tells the user: on one machine one does, rank 0 or, if that has gone, rank 1.
 * @param isOwn whether this process found the failure out itself
 */
export function isSaidElsewhere(
  { rank, culprit }: GroupFailure,
  isOwn: boolean,
  ownRank: number,
  who: ReadonlyMap<number, Identity>,
): boolean {
  const isZeroGone = isOwn && rank === 0 && culprit === undefined;
  return ownRank > 0 && who.get(0)?.machine === who.get(ownRank)!.machine && !(isZeroGone && ownRank === 1);
}

const expected = (message: string, culprit?: GroupFailure['culprit']): GroupFailure => ({
  message,
  kind: 'environment',
  ...(culprit && { rank: culprit.rank, culprit }),
});
