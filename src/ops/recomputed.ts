/**
 * Gradient checkpointing (Chen et al. 2016, https://arxiv.org/abs/1604.06174): a function whose intermediate results
 * are dropped after the forward pass and computed again when its gradient is asked for.
 */
import { engine, valueAndGrads, type Tensor } from '../tfjs.ts';
import { computedAfter } from '../runtime/recording.ts';
import { withGradient } from './withGradient.ts';

/**
 * `compute(inputs, constants)`, keeping only these for its gradient, which is by the inputs alone.
 *
 * @param compute the same function of them at every call, random masks included; tensors it closes over must outlive
 *   the backward pass
 */
export const recomputed = (
  compute: (inputs: Tensor[], constants: Tensor[]) => Tensor,
  inputs: Tensor[],
  constants: Tensor[],
): Tensor =>
  withGradient(
    inputs,
    () => ({ value: compute(inputs, constants), saved: [...inputs, ...constants] }),
    (dy, saved) => {
      const [given, kept] = [saved.slice(0, inputs.length), saved.slice(inputs.length)];
      const gradients = valueAndGrads((...again: Tensor[]) => compute(again, kept));
      // The recomputation must wait for dy: begun earlier, or merged with the forward pass, it would save nothing.
      return withOwnTape(() => computedAfter([dy], () => gradients(given, dy).grads));
    },
  );

/** tfjs expects no gradient to be taken inside the backward pass of another, and loses the outer one's tape. */
function withOwnTape<T>(body: () => T): T {
  const { state } = engine();
  const tape = state.activeTape;
  try {
    return body();
  } finally {
    state.activeTape = tape;
  }
}
