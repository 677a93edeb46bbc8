/** The weight of a source of a mixture at a point of the run, as its keys in `corpus.sources` say. */

export interface WeightSchedule {
  readonly weight?: number | null | undefined;
  readonly finalWeight?: number | null | undefined;
  readonly weightsAtSteps?: readonly { readonly step: number; readonly weight: number }[] | null | undefined;
}

/** The weight when `step` updates have been made, which are the share `progress` (0 … 1) of the run. */
export function weightAt(
  { weight, finalWeight, weightsAtSteps }: WeightSchedule,
  step: number,
  progress: number,
): number {
  const first = weight ?? 1;
  let before = { step: 0, weight: first };
  for (const next of weightsAtSteps ?? []) {
    if (step < next.step)
      return before.weight + ((next.weight - before.weight) * (step - before.step)) / (next.step - before.step);
    before = next;
  }
  return before.weight + ((finalWeight ?? before.weight) - before.weight) * progress;
}
