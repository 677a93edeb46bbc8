/**
 * Where the values of large tensors are: in JavaScript arrays or in the session, never in both. Model and optimizer are
 * most of the memory of a process, so arrays that are no longer needed are freed at once.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { returnFreeMemory } from '../runtime/libc.ts';
import type { InitialValue, Session } from '../runtime/session.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import type { Precision } from '../runtime/variables.ts';
import { withSafetensors } from '../tensors/safetensors.ts';
import { assertSameTensors, elementCount, type NamedTensor } from '../tensors/tensors.ts';

/** The tensors of a checkpoint. */
export interface StateTensors {
  model: NamedTensor[];
  optimizer: NamedTensor[];
}

/** At most about this many bytes are in arrays and in the session at the same time. */
const groupBytes = 256e6;

/**
 * Adds the tensors to the session as variables, group by group, and releases their values.
 * @param tensors are used up: their values are empty afterwards
 */
export async function moveIntoSession(session: Session, tensors: readonly InitialValue[]): Promise<void> {
  for (let begin = 0; begin < tensors.length; ) {
    const group: InitialValue[] = [];
    for (let bytes = 0; bytes < groupBytes && begin < tensors.length; begin++) {
      group.push(tensors[begin]!);
      bytes += tensors[begin]!.values.byteLength;
    }
    await session.addVariables(group);
    releaseValues(group);
  }
}

/** A tensor as the session is to keep it: matrices in this type, vectors in float32. */
export const keptAs =
  (matrices: Precision) =>
  (tensor: NamedTensor): InitialValue => ({ ...tensor, storedAs: tensor.shape.length === 2 ? matrices : 'float32' });

/**
 * Adds the tensors of a safetensors file to the session as variables, a part of them at a time.
 *
 * @param matrices the type that matrices are stored in; vectors are float32
 * @throws wrong input if the file does not hold exactly the tensors of the table
 */
export async function readIntoSession(
  session: Session,
  file: string,
  table: readonly ParameterSpec[],
  matrices: Precision,
): Promise<void> {
  await withSafetensors(file, ['F32'], async (entries, read) => {
    assertSameTensors(table, entries, file);
    for (let begin = 0; begin < entries.length; ) {
      const group: InitialValue[] = [];
      for (let bytes = 0; bytes < readBytes && begin < entries.length; begin++) {
        const entry = entries[begin]!;
        const { name, shape } = entry;
        group.push(keptAs(matrices)({ name, shape, values: await read(entry) }));
        bytes += 4 * elementCount(shape);
      }
      await session.addVariables(group);
      releaseValues(group);
    }
  });
}

/** About so many bytes of a file are in arrays at a time: the peak of training must not be that of reading its base. */
const readBytes = 64e6;

/**
 * Empties the values of tensors and returns their memory to the system. Only the owner of the tensors may call it.
 * V8 would not collect the arrays by itself: they are outside its heap, and a training step produces too little
 * garbage to start a collection.
 */
export function releaseValues(tensors: readonly NamedTensor[]): void {
  for (const tensor of tensors) tensor.values = new Float32Array(0);
  collectGarbage ??= exposedCollection();
  collectGarbage();
  collectGarbage(); // arrays are freed in the background; a second collection waits for that
  returnFreeMemory();
}

/** Created once: it needs a V8 context of its own. */
let collectGarbage: (() => void) | undefined;

function exposedCollection(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
