/**
 * Sums over the processes that compute together. They add in pairs: with rank xor 1, then xor 2, xor 4 and so on, so
 * that the order of the sum is a fixed tree over the ranks, and every process has the same bits. A sum of two is the
 * same in either order, whatever way TensorFlow sends the parts. The number of processes is a power of two.
 */
import { concat, reshape, slice, type Tensor } from '../tfjs.ts';
import {
  attributeTypes,
  dataTypes,
  floatAttribute,
  intAttribute,
  stringAttribute,
  typeAttribute,
} from '../runtime/binding.ts';
import { computedAfter } from '../runtime/recording.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import type { ServerPlace } from '../runtime/server.ts';

/** Numbers that are sent at a time: memory of this size is used again rather than asked for anew. */
const bucketSize = 2 ** 21;
/** Buckets on their way at the same time: each takes memory several times its size. */
const underWay = 3;

/**
 * How many exchanges each group of processes has recorded: their numbers must be the same in all of its processes,
 * which record the same programs, while one of them may have been in another group before.
 */
const exchanges = new WeakMap<ServerPlace, number>();

function nextExchange(place: ServerPlace): number {
  const next = (exchanges.get(place) ?? 0) + 1;
  exchanges.set(place, next);
  return next;
}

/** Part of a flattened value. */
interface Piece {
  value: number;
  begin: number;
  size: number;
}

/**
 * The sum of each value over all processes, in float32. The last values are sent first: in a backward pass they are
 * known first.
 */
export function sumsOverProcesses(place: ServerPlace, values: readonly Tensor[]): Tensor[] {
  const flat = values.map((value) => reshape(value, [-1]));
  const summed = values.map((): Tensor[] => []);
  const sums: Tensor[] = [];
  for (const bucket of bucketsOf(values.map(({ size }) => size))) {
    const earlier = sums.at(-underWay);
    const parts = bucket.map(({ value, begin, size }) => slice(flat[value]!, [begin], [size]));
    const joined = parts.length === 1 ? parts[0]! : concat(parts);
    const exchange = (): Tensor => sumOverPairs(place, joined);
    const sum = earlier === undefined ? exchange() : computedAfter([earlier], exchange);
    sums.push(sum);
    let start = 0;
    for (const { value, size } of bucket) {
      summed[value]!.unshift(parts.length === 1 ? sum : slice(sum, [start], [size]));
      start += size;
    }
  }
  return values.map(({ shape }, i) => {
    const parts = summed[i]!;
    return reshape(parts.length === 1 ? parts[0]! : concat(parts), shape);
  });
}

/** The pieces of values of these sizes, from the end on, each bucket of at most `bucketSize` numbers. */
function bucketsOf(sizes: readonly number[]): Piece[][] {
  const buckets: Piece[][] = [];
  let room = 0;
  for (let value = sizes.length - 1; value >= 0; value--) {
    for (let end = sizes[value]!; end > 0; ) {
      if (room === 0) {
        buckets.push([]);
        room = bucketSize;
      }
      const size = Math.min(end, room);
      end -= size;
      room -= size;
      buckets.at(-1)!.push({ value, begin: end, size });
    }
  }
  return buckets;
}

function sumOverPairs(place: ServerPlace, x: Tensor): Tensor {
  let sum = x;
  for (let distance = 1; distance < place.addresses.length; distance *= 2) sum = sumOfPair(place, distance, sum);
  return sum;
}

/** x + x of the process whose rank differs in this one bit. */
function sumOfPair(place: ServerPlace, distance: number, x: Tensor): Tensor {
  const { rank, addresses } = place;
  const pair = Math.min(rank, rank ^ distance);
  return executeOne(
    'CollectiveReduce',
    [
      typeAttribute('T', dataTypes.float32),
      intAttribute('group_size', 2),
      intAttribute('group_key', 1 + Math.log2(distance) * addresses.length + pair),
      intAttribute('instance_key', nextExchange(place)),
      stringAttribute('merge_op', 'Add'),
      stringAttribute('final_op', 'Id'),
      { name: 'subdiv_offsets', type: attributeTypes.int, value: [0] },
      stringAttribute('communication_hint', 'auto'),
      floatAttribute('timeout_seconds', 0),
    ],
    [x],
  );
}
