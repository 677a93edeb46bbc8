/**
 * The sizes of a matrix in int8 as clm's kernels multiply with it (native/decoding/int8.h): blocks of 32 inputs, a byte
 * each and two for their scale.
 */

const block = { inputs: 32, bytes: 34 };

/** @param isTransposed whether the matrix is (outputs, inputs) rather than (inputs, outputs) */
export const matrixSizes = ([rows, columns]: readonly number[], isTransposed: boolean) =>
  isTransposed ? { inputs: columns!, outputs: rows! } : { inputs: rows!, outputs: columns! };

/** The shape of the packed matrix: the bytes of each output. */
export function packedShape(shape: readonly number[], isTransposed: boolean): [number, number] {
  const { inputs, outputs } = matrixSizes(shape, isTransposed);
  return [outputs, Math.ceil(inputs / block.inputs) * block.bytes];
}
