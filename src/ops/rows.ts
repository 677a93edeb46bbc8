/** Rows of a matrix by their ids: looked up, summed and replaced. tfjs's own read the ids back to the host. */
import { add, scalar, type Tensor } from '../tfjs.ts';
import { dataTypes, float32Type, gatherAttributes, typeAttribute } from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import { operation, runKernel } from './kernels.ts';
import { withGradient } from './withGradient.ts';

/** Rows of `table` (V, C) by `ids` (N) int32 → (N, C); the gradient sums over the rows that were taken twice. */
export const gatherRows = (table: Tensor, ids: Tensor): Tensor =>
  withGradient(
    [table],
    () => ({
      value: executeOne('GatherV2', gatherAttributes(dataTypes.float32), [table, ids, scalar(0, 'int32')]),
      saved: [ids],
    }),
    (dy, [taken]) => [sumOfRows(dy, taken, table.shape[0]!)],
  );

/** Σ of the rows (N, C) of each id (N) int32 → (V, C), 0 for an id that does not occur. */
export function sumOfRows(rows: Tensor, ids: Tensor, V: number): Tensor {
  const types = [
    float32Type,
    typeAttribute('Tindices', dataTypes.int32),
    typeAttribute('Tnumsegments', dataTypes.int32),
  ];
  return executeOne('UnsortedSegmentSum', types, [rows, ids, scalar(V, 'int32')]);
}

/** matrix (V, C) with rows (N, C) added to those that ids (N) int32 name. */
export const addRows = operation({
  // In the matrix's memory if nobody else reads it.
  kernel: (matrix: Tensor, rows: Tensor, ids: Tensor): Tensor => runKernel('ClmAddRows', [matrix, rows, ids])[0],
  composed: (matrix: Tensor, rows: Tensor, ids: Tensor): Tensor => add(matrix, sumOfRows(rows, ids, matrix.shape[0]!)),
});

/**
 * x (R, D) with the rows `rows` (n) int32 replaced by `values` (n, D). In place if x is the value of a variable, which
 * must be assigned the result: nothing else of the program may read the old value.
 */
export const replaceRows = (x: Tensor, rows: Tensor, values: Tensor): Tensor =>
  executeOne('InplaceUpdate', [float32Type], [x, rows, values]);
