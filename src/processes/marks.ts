/**
 * What a process is doing, in memory that its main thread shares with the thread that watches: so the others learn of
 * it even while the main thread is busy.
 */

/**
 * `own`: work of this process alone that may take as long as it likes (reading the corpus, recording, saving).
 * `waits`: for a message of others. `computes`: a step or an evaluation, in which it also waits for the others' sums.
 * `reads`: micro-batches, or anything else that others wait for and that shows in processor time or bytes.
 */
export const activities = ['own', 'waits', 'computes', 'reads'] as const;
export type Activity = (typeof activities)[number];

/** Activity, step, number of changes; 1 once the main thread ends the process itself. */
export type Marks = Int32Array<SharedArrayBuffer>;

export const newMarks = (): Marks => new Int32Array(new SharedArrayBuffer(16));

export function setMark(marks: Marks, activity: Activity, step: number): void {
  Atomics.store(marks, 0, activities.indexOf(activity));
  Atomics.store(marks, 1, step);
  Atomics.add(marks, 2, 1);
}

export const readMarks = (marks: Marks): { activity: Activity; step: number; changes: number } => ({
  activity: activities[Atomics.load(marks, 0)]!,
  step: Atomics.load(marks, 1),
  changes: Atomics.load(marks, 2),
});

/** The main thread has been told of a failure and sees to the end: the watching thread need not. */
export const markEnding = (marks: Marks): void => void Atomics.store(marks, 3, 1);
export const isEnding = (marks: Marks): boolean => Atomics.load(marks, 3) === 1;
