/** Which session computes at the moment, and how a definition controls what is recorded; eagerly most has no effect. */
import { tidy, type Tensor } from '../tfjs.ts';
import type { Binding } from './binding.ts';
import type { Kernels } from './kernelLibrary.ts';
import type { Recorder } from './recorder.ts';
import { loadedTensorFlow, type TensorFlowBackend } from './tensorflow.ts';
import type { Precision } from './variables.ts';

interface Computation {
  /** Takes the place of tfjs-node's own binding. */
  binding: Binding;
  /** null when operations run at once. */
  recorder: Recorder | null;
  /** Those of the session. */
  kernels: Kernels;
  /** Of the session's products. */
  precision: Precision;
}

let active: Computation | undefined;

/** Runs `body` (synchronous) so that the operations in it go to `computation`. */
export function computing<T>(backend: TensorFlowBackend, computation: Computation, body: () => T): T {
  const { binding } = backend;
  const outer = active;
  active = computation;
  backend.binding = withCodesOf(binding, computation.binding);
  try {
    return body();
  } finally {
    backend.binding = binding;
    active = outer;
  }
}

/** Runs `body` and disposes of the tensors made in it; it returns what is not a tensor. */
export function tidied<T>(body: () => T): T {
  let result: { value: T } | undefined;
  tidy(() => {
    result = { value: body() };
  });
  return result!.value;
}

/** `standIn` with the codes (TF_FLOAT …) that the backend reads off its own binding. */
function withCodesOf(own: Binding, standIn: Binding): Binding {
  const codes = Object.getOwnPropertyNames(own).filter((name) => name.startsWith('TF_'));
  return {
    ...Object.fromEntries(codes.map((name) => [name, Reflect.get(own, name)])),
    createTensor: (shape, dtype, values) => standIn.createTensor(shape, dtype, values),
    deleteTensor: (id) => standIn.deleteTensor(id),
    tensorDataSync: (id) => standIn.tensorDataSync(id),
    executeOp: (...operation) => standIn.executeOp(...operation),
  };
}

/** The kernels of the session whose program is being recorded or run. @throws outside of a program */
export const kernelsInUse = (): Kernels => inUse().kernels;

/** What this session computes products in. @throws outside of a program */
export const precisionInUse = (): Precision => inUse().precision;

function inUse(): Computation {
  if (!active) throw new Error('an operation is computed outside of a program');
  return active;
}

/** Names the nodes that `body` records, so that an error of a run says where it comes from. */
export const scope = <T>(name: string, body: () => T): T =>
  active?.recorder ? active.recorder.scoped(name, body) : body();

/** The value of a scalar; null if it is known only when the program being recorded runs. */
export function knownScalar(x: Tensor): number | null {
  try {
    return x.dataSync()[0]!;
  } catch (error) {
    if (active?.recorder) return null;
    throw error;
  }
}

/**
 * Makes everything `body` computes wait for `tensors`. So it begins late, and TensorFlow does not merge it with an
 * equal computation made before: both save memory. An update must wait until the old value has been read: it would cost
 * a copy of the variable, or change what is read. In eager mode, program order decides.
 */
export const computedAfter = <T>(tensors: readonly Tensor[], body: () => T): T =>
  active?.recorder ? active.recorder.allAfter(loadedTensorFlow().backend.getInputTensorIds(tensors), body) : body();

/**
 * Makes the updates of variables in `body` only if `condition`, a bool scalar, holds. What else `body` computes may run
 * in any case.
 */
export function updatesIf(condition: Tensor, body: () => void): void {
  if (active?.recorder) active.recorder.onlyIf(loadedTensorFlow().backend.getInputTensorIds([condition])[0]!, body);
  else if (condition.dataSync()[0]) body();
}
