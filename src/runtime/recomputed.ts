/**
 * Gradient checkpointing (Chen et al. 2016, https://arxiv.org/abs/1604.06174): a function whose intermediate
 * results are dropped after the forward pass and computed again when its gradient is asked for.
 */
import { customGrad, engine, valueAndGrads, type Tensor } from '@tensorflow/tfjs-core';
import { computedAfter } from './recording.ts';

/**
 * `compute(inputs, constants)`, keeping only these for its gradient, which is by the inputs alone.
 *
 * @param compute the same function of them at every call, random masks included; tensors it closes over must outlive
 *   the backward pass
 */
export function recomputed(
  compute: (inputs: Tensor[], constants: Tensor[]) => Tensor,
  inputs: Tensor[],
  constants: Tensor[],
): Tensor {
  const once = customGrad((...args) => {
    const save = args.at(-1) as (tensors: Tensor[]) => void;
    const given = args.slice(0, -1) as Tensor[];
    save([...given, ...constants]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const kept = saved.slice(given.length);
      const gradients = valueAndGrads((...again: Tensor[]) => compute(again, kept));
      // The recomputation must wait for dy: begun earlier, or merged with the forward pass, it would save nothing.
      return withOwnTape(() => computedAfter([dy], () => gradients(saved.slice(0, given.length), dy).grads));
    };
    return { value: compute(given, constants), gradFunc };
  });
  return once(...inputs);
}

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
