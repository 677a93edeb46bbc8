/**
 * How the keys and values of earlier tokens lie in the session's variables. Each attention has two variables, keys and
 * values, each a matrix of one row of D numbers per (slot, head, position).
 *
 * The capacity S changes while decoding, and a program is recorded for one S: it reads and writes the variables through
 * views, one per capacity. A variable has one size at a time.
 *
 * B slots · S capacity in tokens · K key/value heads · D head size
 */
import { add, pad, reshape, slice, tensor, type Tensor } from '../tfjs.ts';
import type { ModelConfig } from '../model/parameters.ts';
import { gatherRows, replaceRows } from '../ops/rows.ts';
import type { Session } from '../runtime/session.ts';
import type { Variables } from '../runtime/variables.ts';

export interface CacheLayout {
  slots: number;
  /** K */
  heads: number;
  /** D */
  headSize: number;
  /** Names of the variables: keys and values of each layer. */
  variables: readonly string[];
}

export function cacheLayout({ layers, keyValueHeads, headSize }: ModelConfig, slots: number): CacheLayout {
  const attentions = Array.from({ length: layers }, (_, i) => `blocks.${i}.attention`);
  const variables = attentions.flatMap((path) => [`${path}.keys`, `${path}.values`]);
  return { slots, heads: keyValueHeads, headSize, variables };
}

/** The name under which programs recorded for capacity S know a cache variable. */
export const cacheView = (variable: string, S: number): string => `${variable}@${S}`;

const cacheShape = ({ slots, heads, headSize }: CacheLayout, S: number): number[] => [slots * heads * S, headSize];

/** Creates the variables, filled with zeros, with capacity S. */
export function addCacheVariables(session: Session, layout: CacheLayout, S: number): Promise<void> {
  const shape = cacheShape(layout, S);
  const values = new Float32Array(shape[0]! * shape[1]!);
  return session.addVariables(layout.variables.map((name) => ({ name, shape, values })));
}

export function addCacheViews(session: Session, layout: CacheLayout, S: number): void {
  for (const name of layout.variables) session.addView(cacheView(name, S), name, cacheShape(layout, S));
}

/** The first row of a slot; its K·S rows follow each other, head by head. */
export const firstRowOf = (slot: number, { heads }: CacheLayout, S: number): number => slot * heads * S;

/** The rows (K·P) of positions 0 … P − 1 in the slot that begins at `firstRow` (1). */
export function leadingRows(firstRow: Tensor, { heads }: CacheLayout, P: number, S: number): Tensor {
  return add(
    integers(heads * P, (i) => Math.floor(i / P) * S + (i % P)),
    firstRow,
  );
}

/** The rows (B·K) of one position in every slot. @param positions (B) int32 */
export function rowsAt(positions: Tensor, { slots, heads }: CacheLayout, S: number): Tensor {
  const firstRows = integers(slots * heads, (i) => i * S);
  return reshape(add(reshape(firstRows, [slots, heads]), reshape(positions, [slots, 1])), [slots * heads]);
}

/** Writes values (…, D) into rows of a cache. @returns the updated cache (B·K·S, D) */
export function writeRows(variables: Variables, view: string, rows: Tensor, values: Tensor): Tensor {
  const updated = replaceRows(variables.read(view), rows, reshape(values, [-1, values.shape.at(-1)!]));
  variables.assign(view, updated);
  return updated;
}

/** Copies all rows of one slot to another, in every cache variable. @param fromRow (1) and toRow (1): first rows */
export function copyRows(variables: Variables, layout: CacheLayout, S: number, fromRow: Tensor, toRow: Tensor): void {
  const rows = integers(layout.heads * S, (i) => i);
  for (const name of layout.variables) {
    const view = cacheView(name, S);
    writeRows(variables, view, add(rows, toRow), gatherRows(variables.read(view), add(rows, fromRow)));
  }
}

/** Changes the capacity; the positions of each slot that fit keep their keys and values. */
export function resizeCache(variables: Variables, layout: CacheLayout, from: number, to: number): void {
  const { slots, heads, headSize: D } = layout;
  for (const name of layout.variables) {
    const before = reshape(variables.read(cacheView(name, from)), [slots * heads, from, D]);
    // biome-ignore format: a table of paddings
    const after = to > from
      ? pad(before, [[0, 0], [0, to - from], [0, 0]])
      : slice(before, [0, 0, 0], [slots * heads, to, D]);
    variables.assign(cacheView(name, to), reshape(after, cacheShape(layout, to)));
  }
}

/** A vector of int32, computed when a program is recorded. */
export function integers(length: number, value: (i: number) => number): Tensor {
  const values = Int32Array.from({ length }, (_, i) => value(i));
  return tensor(values, [length], 'int32');
}
