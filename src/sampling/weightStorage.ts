/** What the parameters of a loaded model are stored in, and the bytes they take. */
import { isVocabularyMatrix, type ParameterSpec } from '../model/parameters.ts';
import type { Storage } from '../runtime/session.ts';
import type { StoredAs } from '../runtime/variables.ts';
import { packedShape } from '../tensors/int8.ts';
import { elementCount } from '../tensors/tensors.ts';

type Parameter = Pick<ParameterSpec, 'name' | 'shape'>;

/** Matrices are stored as asked; in int8 all but the positions, which no product reads. */
export function storageOf(
  { name, shape }: Parameter,
  weights: StoredAs,
): Pick<Required<Storage>, 'storedAs' | 'isTransposed'> {
  const isKept = shape.length !== 2 || (weights === 'int8' && name === 'embedding.positions');
  return { storedAs: isKept ? 'float32' : weights, isTransposed: isVocabularyMatrix(name) };
}

/** Bytes of all parameters in memory. */
export const weightBytes = (table: readonly Parameter[], weights: StoredAs): number =>
  table.reduce((sum, parameter) => {
    const { storedAs, isTransposed } = storageOf(parameter, weights);
    const { shape } = parameter;
    const bytes =
      storedAs === 'int8'
        ? elementCount(packedShape(shape, isTransposed))
        : elementCount(shape) * { float32: 4, bfloat16: 2 }[storedAs];
    return sum + bytes;
  }, 0);
