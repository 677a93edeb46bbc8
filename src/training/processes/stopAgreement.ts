/**
 * All processes of a group stop at the same point. Each point of the loop has a number: 2·step at the top of a turn,
 * 2·step + 1 before the update. When any of them is to stop, rank 0 asks all how far they have begun; from then on
 * none begins another point before rank 0 has said where all stop, which is right after the furthest.
 */
import type { ProcessGroup } from '../../processes/group.ts';
import type { PausePoint } from '../timeLimit.ts';
import { abortReason, type Stop } from '../train.ts';

type Message = { wish: Stop } | { freeze: true } | { begun: number } | { stopsAfter: number; stop: Stop };

interface StopAgreement {
  /** Any rank may wish; the first wish counts. */
  wish(stop: Stop): void;
  /** Whether all stop at this point; if not, this rank begins it. */
  at(point: number): Promise<Stop | null>;
  /** Aborts once it is agreed that all stop, but for a pause: an evaluation under way need not be finished. */
  signal: AbortSignal;
}

function openStopAgreement(group: ProcessGroup): StopAgreement {
  let begun = -1;
  let isFrozen = false;
  let wished: Stop | undefined;
  let agreed: { stopsAfter: number; stop: Stop } | undefined;
  const stopping = new AbortController();
  let thaw = (): void => {};
  const thawed = new Promise<void>((resolve) => (thaw = resolve));
  const answers = new Map<number, number>();
  const answer = (rank: number, point: number): void => {
    answers.set(rank, point);
    if (answers.size === group.size) group.tell({ stopsAfter: Math.max(...answers.values()), stop: wished! });
  };
  group.onTold((rank, told) => {
    const message = told as Message;
    if ('wish' in message) {
      if (group.rank === 0 && wished === undefined) {
        wished = message.wish;
        group.tell({ freeze: true } satisfies Message);
      }
    } else if ('freeze' in message) {
      isFrozen = true;
      if (group.rank === 0) answer(0, begun);
      else group.tell({ begun } satisfies Message);
    } else if ('begun' in message) answer(rank, message.begun);
    else {
      agreed = message;
      if (!agreed.stop.isPause) stopping.abort(agreed.stop.reason);
      thaw();
    }
  });
  return {
    signal: stopping.signal,
    wish: (stop) => group.tell({ wish: stop } satisfies Message),
    at: async (point) => {
      if (isFrozen && agreed === undefined) {
        group.note('waits', point >> 1);
        await Promise.race([thawed, group.failed]);
        group.note('own', point >> 1);
      }
      if (agreed !== undefined && point > agreed.stopsAfter && !(agreed.stop.isPause && point % 2 === 1))
        return agreed.stop;
      begun = point;
      return null;
    },
  };
}

/**
 * When all ranks stop, and a signal that aborts in all of them, see `train`.
 * @param signal of this process: whichever aborts first decides for all
 * @param pauseReason as of a process that trains alone; a pause after some time is decided by rank 0
 */
export function groupStops(
  group: ProcessGroup,
  signal: AbortSignal,
  pause: PausePoint | undefined,
  pauseReason: (step: number) => string | null,
): {
  stopAt: (point: number) => Promise<Stop | null>;
  pauseReason: (step: number) => string | null;
  signal: AbortSignal;
} {
  const agreement = openStopAgreement(group);
  const wish = (): void => agreement.wish({ reason: abortReason(signal), isPause: false });
  if (signal.aborted) wish();
  else signal.addEventListener('abort', wish, { once: true });
  if (pause?.trainedMs === undefined) return { stopAt: agreement.at, pauseReason, signal: agreement.signal };
  return {
    stopAt: (point) => {
      const reason = group.rank === 0 && point % 2 === 0 ? pauseReason(point / 2) : null;
      if (reason !== null) agreement.wish({ reason, isPause: true });
      return agreement.at(point);
    },
    pauseReason: () => null,
    signal: agreement.signal,
  };
}
