/** Named tensors as they are saved and loaded: parameters and optimizer state are both an ordered list of them. */
import { crc32 } from 'node:zlib';
import { wrongInput } from '../errors.ts';

/** A tensor outside TensorFlow; `values` in row-major order. */
export interface NamedTensor {
  name: string;
  shape: number[];
  values: Float32Array;
}

/** Number of differences that a message lists; the rest is only counted. */
const listedDifferences = 8;

/** Number of elements of a shape; 1 for a scalar's empty shape. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((count, length) => count * length, 1);

/**
 * Checks that a file holds exactly the tensors that the model or optimizer has, in any order.
 * @param file the file that `actual` was read from, for the message
 * @throws wrongInput listing missing and unexpected tensors and different shapes
 */
export function assertSameTensors(
  expected: readonly { name: string; shape: readonly number[] }[],
  actual: readonly { name: string; shape: readonly number[] }[],
  file: string,
): void {
  const found = new Map(actual.map((tensor) => [tensor.name, tensor.shape]));
  const wanted = new Set(expected.map((tensor) => tensor.name));
  const differences: string[] = [];
  for (const { name, shape } of expected) {
    const other = found.get(name);
    if (other === undefined) differences.push(`${name} (${shapeText(shape)}) is missing`);
    else if (shapeText(shape) !== shapeText(other)) {
      differences.push(`${name} has shape (${shapeText(other)}), expected (${shapeText(shape)})`);
    }
  }
  for (const name of found.keys()) if (!wanted.has(name)) differences.push(`${name} is not expected`);
  if (differences.length === 0) return;

  const listed = differences.slice(0, listedDifferences);
  const rest = differences.length - listed.length;
  throw wrongInput(
    `${file} does not match this config; ${differences.length} of its tensors differ:\n  ${listed.join('\n  ')}` +
      (rest > 0 ? `\n  and ${rest} more` : '') +
      '\nUse the config that the checkpoint was trained with (the config.yaml in its folder).',
  );
}

const shapeText = (shape: readonly number[]): string => shape.join(', ');

/** CRC-32 of a tensor's bytes, to find the damaged one; that a file is intact is proven by its SHA-256. */
export async function tensorChecksum(values: Float32Array): Promise<string> {
  await new Promise(setImmediate); // lets training continue between tensors
  return crc32(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .toString(16)
    .padStart(8, '0');
}
