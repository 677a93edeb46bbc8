/** The parts of the training loop in a group of processes: what they do is noted for the watchdogs of all. */
import type { ProcessGroup } from '../../processes/group.ts';
import type { RunPrograms } from '../programs.ts';
import type { Saves } from '../saves.ts';
import type { StepBatches } from '../stepBatches.ts';

/** Programs that need all ranks: they fail as soon as one of the ranks has. */
export function groupPrograms(programs: RunPrograms, group: ProcessGroup): RunPrograms {
  let step = 0;
  const { reference } = programs;
  return {
    ...programs,
    reference: reference && {
      ...reference,
      complete: (signal, report) =>
        noted(group, 'computes', step, () => group.guarded(reference.complete(signal, report))),
    },
    step: (batches, update, learningRate) => {
      step = update;
      return noted(group, 'computes', step, () => group.guarded(programs.step(batches, update, learningRate)));
    },
    evaluate: (signal, cursor) =>
      noted(group, 'computes', step, () => group.guarded(programs.evaluate(signal, cursor))),
  };
}

export function groupBatches(batches: StepBatches, group: ProcessGroup, startStep: number): StepBatches {
  let step = startStep;
  return { ...batches, next: () => noted(group, 'reads', ++step, () => group.guarded(batches.next())) };
}

async function noted<Result>(
  group: ProcessGroup,
  activity: 'computes' | 'reads',
  step: number,
  work: () => Promise<Result>,
): Promise<Result> {
  group.note(activity, step);
  try {
    return await work();
  } finally {
    group.note('own', step);
  }
}

/** Those of a rank that is not 0: it saves nothing. */
export const noSaves: Saves = {
  begin: () => Promise.resolve(),
  finished: () => Promise.resolve(),
  failAfterSaving: (failure) => Promise.reject(failure as Error),
};
