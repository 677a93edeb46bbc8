/** Puts the values a run begins with into its session, and nowhere else. */
import type { NamedTensor } from '../tensors/tensors.ts';
import type { Session } from '../runtime/session.ts';
import { letGo } from './letGo.ts';

/** So much is in arrays and in the session at once. */
const groupBytes = 256e6;

/** Makes variables of `tensors` and takes the values from them: a model and its optimizer are never held twice. */
export async function setVariables(session: Session, tensors: readonly NamedTensor[]): Promise<void> {
  for (let begin = 0; begin < tensors.length; ) {
    const group: NamedTensor[] = [];
    for (let bytes = 0; bytes < groupBytes && begin < tensors.length; begin++) {
      group.push(tensors[begin]!);
      bytes += tensors[begin]!.values.byteLength;
    }
    await session.addVariables(group);
    letGo(group);
  }
}
