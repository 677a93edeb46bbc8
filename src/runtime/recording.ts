/** Swapping the recorder in and out, and what a definition may say to it; both do nothing when run eagerly. */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Binding } from './binding.ts';
import type { Recorder } from './recorder.ts';
import { loadedTensorFlow, type TensorFlowBackend } from './tensorflow.ts';

let active: Recorder | undefined;

/** Runs `body` (synchronous) with `binding` in the place of tfjs-node's own. */
export function recordingWith<T>(backend: TensorFlowBackend, recorder: Recorder, binding: Binding, body: () => T): T {
  active = recorder;
  try {
    return withBinding(backend, binding, body);
  } finally {
    active = undefined;
  }
}

/** Runs `body` with `binding` as the backend's; it gets the codes (TF_FLOAT …) that the backend reads off its own. */
export function withBinding<T>(backend: TensorFlowBackend, binding: Binding, body: () => T): T {
  const own = backend.binding;
  const codes = Object.getOwnPropertyNames(own).filter((name) => name.startsWith('TF_'));
  const standIn: Binding = {
    createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
    deleteTensor: (id) => binding.deleteTensor(id),
    tensorDataSync: (id) => binding.tensorDataSync(id),
    executeOp: (name, attributes, inputIds, outputs) => binding.executeOp(name, attributes, inputIds, outputs),
  };
  const named = own as unknown as Record<string, unknown>;
  backend.binding = Object.assign(standIn, Object.fromEntries(codes.map((name) => [name, named[name]])));
  try {
    return body();
  } finally {
    backend.binding = own;
  }
}

/** Names the nodes that `body` records, so that an error of a run says where it comes from. */
export const scope = <T>(name: string, body: () => T): T => (active ? active.scoped(name, body) : body());

/** The value of a scalar; null where it is known only when the program being recorded runs. */
export function knownScalar(x: Tensor): number | null {
  try {
    return x.dataSync()[0]!;
  } catch (error) {
    if (active) return null;
    throw error;
  }
}

/**
 * Makes everything `body` computes wait for `tensors`: it begins late, and is never taken for an equal computation made
 * before (TensorFlow merges those), which is what saves memory. An update of a variable whose old value is still being
 * read would cost a copy of it, or change what is read; eagerly, order is the order of the lines.
 */
export const computedAfter = <T>(tensors: readonly Tensor[], body: () => T): T =>
  active ? active.allAfter(loadedTensorFlow().backend.getInputTensorIds(tensors), body) : body();

/**
 * Makes the updates in `body` only where `condition`, a bool scalar, holds, reads of what they updated included. The
 * rest of what `body` computes may run all the same: only what reaches a variable counts.
 */
export function updatesIf(condition: Tensor, body: () => void): void {
  if (active) active.onlyIf(loadedTensorFlow().backend.getInputTensorIds([condition])[0]!, body);
  else if (condition.dataSync()[0]) body();
}
