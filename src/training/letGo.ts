/** Values that lie in the session, or on disk, need not lie in arrays as well. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { NamedTensor } from '../tensors/tensors.ts';
import { returnFreeMemory } from '../runtime/capi.ts';

/** Found once: it takes a context of its own. */
let collectGarbage: (() => void) | undefined;

/**
 * Takes the values of tensors away and gives their memory back: they are as large as the model and the optimizer, and
 * who holds the tensors (a run the checkpoint that it goes on from, for its step and state) would keep them all along.
 * V8 does not collect them by itself: arrays lie outside its heap, and a step makes next to no garbage that would
 * remind it.
 */
export function letGo(tensors: readonly NamedTensor[]): void {
  for (const tensor of tensors) tensor.values = new Float32Array(0);
  collectGarbage ??= exposedCollection();
  collectGarbage();
  collectGarbage(); // arrays are freed in the background, and another collection waits for that
  returnFreeMemory();
}

function exposedCollection(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
