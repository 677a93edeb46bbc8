/**
 * Sums over the processes that compute together. They add in pairs: with rank xor 1, then xor 2, xor 4 and so on, so
 * that the order of the sum is a fixed tree over the ranks, and every process has the same bits. A sum of two is the
 * same in either order, whatever way TensorFlow sends the parts. The number of processes is a power of two.
 */
import { concat, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import {
  attributeTypes,
  dataTypes,
  floatAttribute,
  intAttribute,
  stringAttribute,
  typeAttribute,
} from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import type { ServerPlace } from '../runtime/server.ts';

/** Numbers that are sent together: small tensors are put into one buffer, large ones need no copy. */
const bucketSize = 2 ** 22;

/** Numbers one exchange of all processes; it must be the same in all of them, which record the same programs. */
let exchanges = 0;

/** The sum of each value over all processes, in float32. */
export function sumsOverProcesses(place: ServerPlace, values: readonly Tensor[]): Tensor[] {
  return bucketsOf(values).flatMap((bucket) => {
    const rows = bucket.map((value) => reshape(value, [-1]));
    let sum = rows.length === 1 ? rows[0]! : concat(rows);
    for (let distance = 1; distance < place.addresses.length; distance *= 2) sum = sumOfPair(place, distance, sum);
    let begin = 0;
    return bucket.map(({ shape, size }) => {
      const part = rows.length === 1 ? sum : slice(sum, [begin], [size]);
      begin += size;
      return reshape(part, shape);
    });
  });
}

function bucketsOf(values: readonly Tensor[]): Tensor[][] {
  const buckets: Tensor[][] = [];
  let room = 0;
  for (const value of values) {
    if (value.size > room) {
      buckets.push([]);
      room = bucketSize;
    }
    buckets.at(-1)!.push(value);
    room -= value.size;
  }
  return buckets;
}

/** x + x of the process whose rank differs in this one bit. */
function sumOfPair({ rank, addresses }: ServerPlace, distance: number, x: Tensor): Tensor {
  const pair = Math.min(rank, rank ^ distance);
  return executeOne(
    'CollectiveReduce',
    [
      typeAttribute('T', dataTypes.float32),
      intAttribute('group_size', 2),
      intAttribute('group_key', 1 + Math.log2(distance) * addresses.length + pair),
      intAttribute('instance_key', ++exchanges),
      stringAttribute('merge_op', 'Add'),
      stringAttribute('final_op', 'Id'),
      { name: 'subdiv_offsets', type: attributeTypes.int, value: [0] },
      stringAttribute('communication_hint', 'auto'),
      floatAttribute('timeout_seconds', 0),
    ],
    [x],
  );
}
