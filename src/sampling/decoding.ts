/**
 * The forward passes of generation, recorded: a prompt is read in one pass (prefill) that leaves its keys and values
 * in the session's variables, and then every token costs a pass of one row a slot that looks back on them.
 *
 * A slot holds one text. What a step costs grows with the positions it attends to, so the cache has a capacity of a few
 * recorded sizes and grows by them, rather than always the context length.
 *
 * B slots · P positions of a prefill, padded · S capacity in positions · K key/value heads · D head size · V vocabulary
 */
import { add, cast, greater, mul, pad, reshape, slice, tensor, type Tensor } from '@tensorflow/tfjs-core';
import { attend } from '../model/attention.ts';
import { hiddenStates, logitsOf } from '../model/decoder.ts';
import type { KeyValueCache } from '../model/decoderPass.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { elementCount } from '../tensors/tensors.ts';
import { fusedCachedAttention, hasFusedOperations } from '../ops/fusedOperations.ts';
import { gatherRows, replaceRows } from '../ops/operations.ts';
import type { Program } from '../runtime/program.ts';
import type { Session } from '../runtime/session.ts';
import type { Variables } from '../runtime/variables.ts';

export interface Decoding {
  readonly slots: number;
  readonly contextLength: number;
  /** Positions of a slot that are taken; 0 for a free one, which keeps what it held until it is needed. */
  filled(slot: number): number;
  /** Makes a slot hold these tokens (1 … contextLength) in place of what it held. @returns the logits (V) after them */
  prefill(slot: number, tokenIds: readonly number[]): Promise<Float32Array>;
  /** Makes a slot hold the first `positions` of what another holds or, freed, still keeps; they may be the same. */
  copy(from: number, to: number, positions: number): Promise<void>;
  /** Appends one token to each slot named, none of them full. @returns the logits (V) after it, by slot */
  step(next: ReadonlyMap<number, number>): Promise<Map<number, Float32Array>>;
  free(slot: number): void;
}

/** Lengths that are recorded: prompts are padded up to one, the cache has the size of one. */
export function paddedLength(positions: number, contextLength: number, shortest: number): number {
  let length = shortest;
  while (length < positions) length *= 2;
  return Math.min(length, contextLength);
}

/** Weights, times slots, that a step has done with in a millisecond. */
const briefWeights = 4e6;

/** Of a short context one length is recorded only: to record another takes longer than to compute it. */
const shortestPrefill = (contextLength: number): number => (contextLength <= 128 ? contextLength : 16);
const shortestCapacity = 64;

/** Programs are recorded when first needed, and the cache is made by the first prefill. One Decoding a session. */
export function openDecoding(
  session: Session,
  model: ModelConfig,
  table: readonly ParameterSpec[],
  slots: number,
): Decoding {
  const { contextLength, keyValueHeads: K, headSize: D } = model;
  const attentions = Array.from({ length: model.layers }, (_, i) => `blocks.${i}.attention`);
  const caches = attentions.flatMap((path) => [`${path}.keys`, `${path}.values`]);
  const filled = new Array<number>(slots).fill(0);
  /** Positions whose keys and values are there, be the slot free or not. */
  const kept = new Array<number>(slots).fill(0);
  const isBrief = slots * table.reduce((sum, { shape }) => sum + elementCount(shape), 0) < briefWeights;
  const programs = new Map<string, Program>();
  let capacity = 0;

  const recorded = (name: string, record: (name: string) => Program): Program => {
    const program = programs.get(name) ?? record(name);
    programs.set(name, program);
    return program;
  };
  const parametersOf = (variables: Variables): Record<string, Tensor> =>
    Object.fromEntries(table.map(({ name }) => [name, variables.weights(name)]));

  /** Puts rows into a cache variable; it is a matrix of (slot, head, position) rows of D numbers. */
  const store = (variables: Variables, name: string, rows: Tensor, values: Tensor): Tensor => {
    const updated = replaceRows(variables.read(name), rows, reshape(values, [-1, D]));
    variables.assign(name, updated);
    return updated;
  };

  const recordPrefill =
    (P: number, S: number) =>
    (name: string): Program => {
      const inputs = {
        inputs: { shape: [P], dtype: 'int32' },
        last: { shape: [1], dtype: 'int32' },
        firstRow: { shape: [1], dtype: 'int32' }, // of the slot, in the caches
      } as const;
      return session.program(
        name,
        inputs,
        (feeds, variables) => {
          const rowsOfSlot = Int32Array.from({ length: K * P }, (_, i) => Math.floor(i / P) * S + (i % P));
          const rows = add(tensor(rowsOfSlot, [K * P], 'int32'), feeds['firstRow']!);
          const cache: KeyValueCache = {
            positionIds: tensor(
              Int32Array.from({ length: P }, (_, i) => i),
              [P],
              'int32',
            ),
            attend: (path, query, key, value, mask) => {
              store(variables, cacheName(path, 'keys', S), rows, key);
              store(variables, cacheName(path, 'values', S), rows, value);
              return attend(query, key, value, mask, null);
            },
          };
          const parameters = parametersOf(variables);
          const hidden = hiddenStates(parameters, feeds['inputs']!, {
            model,
            batchSize: 1,
            length: P,
            dropout: null,
            cache,
          });
          return { logits: logitsOf(parameters, gatherRows(hidden, feeds['last']!)) }; // only one position's are wanted
        },
        { onOneThread: true },
      );
    };

  const recordStep =
    (S: number) =>
    (name: string): Program => {
      const B = slots;
      const inputs = { inputs: { shape: [B], dtype: 'int32' }, positions: { shape: [B], dtype: 'int32' } } as const;
      return session.program(
        name,
        inputs,
        (feeds, variables) => {
          const positions = reshape(feeds['positions']!, [B, 1]);
          const firstRows = tensor(
            Int32Array.from({ length: B * K }, (_, i) => i * S),
            [B, K],
            'int32',
          );
          const rows = reshape(add(firstRows, positions), [B * K]);
          const attendTo = hasFusedOperations() ? fusedCachedAttention : maskedAttention;
          const cache: KeyValueCache = {
            positionIds: feeds['positions']!,
            attend: (path, query, key, value) => {
              const keys = store(variables, cacheName(path, 'keys', S), rows, key);
              const values = store(variables, cacheName(path, 'values', S), rows, value);
              return attendTo(query, keys, values, feeds['positions']!);
            },
          };
          const parameters = parametersOf(variables);
          const hidden = hiddenStates(parameters, feeds['inputs']!, {
            model,
            batchSize: B,
            length: 1,
            dropout: null,
            cache,
          });
          return { logits: logitsOf(parameters, hidden) };
        },
        { onOneThread: true, isBrief },
      );
    };

  /** Gives every slot room for S positions; what the slots hold is kept as far as it fits. */
  const recordResize =
    (from: number, S: number) =>
    (name: string): Program =>
      session.program(name, {}, (_, variables) => {
        for (const cache of caches) {
          const now = reshape(variables.read(`${cache}@${from}`), [slots * K, from, D]);
          const next =
            S > from
              ? pad(now, [
                  [0, 0],
                  [0, S - from],
                  [0, 0],
                ])
              : slice(now, [0, 0, 0], [slots * K, S, D]);
          variables.assign(`${cache}@${S}`, reshape(next, [slots * K * S, D]));
        }
        return {};
      });

  /** Copies all rows of a slot to another. */
  const recordCopy =
    (S: number) =>
    (name: string): Program => {
      const inputs = { fromRow: { shape: [1], dtype: 'int32' }, toRow: { shape: [1], dtype: 'int32' } } as const;
      return session.program(name, inputs, (feeds, variables) => {
        const rowsOfSlot = tensor(
          Int32Array.from({ length: K * S }, (_, i) => i),
          [K * S],
          'int32',
        );
        for (const cache of caches) {
          const values = gatherRows(variables.read(`${cache}@${S}`), add(rowsOfSlot, feeds['fromRow']!));
          store(variables, `${cache}@${S}`, add(rowsOfSlot, feeds['toRow']!), values);
        }
        return {};
      });
    };

  /** Programs know a cache by its size: all sizes are views of one variable, which has one at a time. */
  const addViews = (S: number): void => {
    for (const cache of caches) session.addView(`${cache}@${S}`, cache, [slots * K * S, D]);
  };
  const setCapacity = async (S: number): Promise<void> => {
    if (S === capacity) return;
    if (capacity === 0) {
      const values = new Float32Array(slots * K * S * D);
      await session.addVariables(caches.map((name) => ({ name, shape: [slots * K * S, D], values })));
    }
    if (!programs.has(`step${S}`)) {
      addViews(S);
      recorded(`step${S}`, recordStep(S));
    }
    if (capacity !== 0) await recorded(`resize${capacity}to${S}`, recordResize(capacity, S)).run({});
    capacity = S;
    for (let slot = 0; slot < slots; slot++) kept[slot] = Math.min(kept[slot]!, S);
  };
  /** The capacity for the fullest slot; it shrinks only while nothing is held. */
  const makeRoom = async (positions: number): Promise<void> => {
    const needed = paddedLength(positions, contextLength, shortestCapacity);
    if (needed > capacity || filled.every((taken) => taken === 0)) await setCapacity(needed);
  };

  return {
    slots,
    contextLength,
    filled: (slot) => filled[slot]!,
    prefill: async (slot, tokenIds) => {
      if (tokenIds.length < 1 || tokenIds.length > contextLength)
        throw new Error(`${tokenIds.length} tokens do not fit a slot`);
      filled[slot] = 0;
      const P = paddedLength(tokenIds.length, contextLength, shortestPrefill(contextLength));
      await makeRoom(P);
      const inputs = new Int32Array(P); // padding stands behind the tokens, where the mask hides it
      inputs.set(tokenIds);
      const program = recorded(`prefill${P}of${capacity}`, recordPrefill(P, capacity));
      const feeds = { inputs, last: Int32Array.of(tokenIds.length - 1), firstRow: Int32Array.of(slot * K * capacity) };
      const { logits } = await program.run(feeds);
      filled[slot] = kept[slot] = tokenIds.length;
      return logits!;
    },
    copy: async (from, to, positions) => {
      await makeRoom(positions);
      if (kept[from]! < positions) throw new Error(`slot ${from} keeps ${kept[from]} positions, not ${positions}`);
      if (from !== to) {
        const feeds = { fromRow: Int32Array.of(from * K * capacity), toRow: Int32Array.of(to * K * capacity) };
        await recorded(`copyOf${capacity}`, recordCopy(capacity)).run(feeds);
      }
      filled[to] = kept[to] = positions;
    },
    step: async (next) => {
      const positions = Int32Array.from(filled);
      const inputs = new Int32Array(slots);
      for (const [slot, tokenId] of next) {
        if (filled[slot]! >= contextLength) throw new Error(`slot ${slot} is full`);
        inputs[slot] = tokenId;
      }
      await makeRoom(Math.max(...positions) + 1);
      // A slot that has no turn computes something nobody reads, behind what it keeps.
      for (let slot = 0; slot < slots; slot++)
        if (!next.has(slot)) positions[slot] = kept[slot] = Math.min(kept[slot]!, capacity - 1);
      const { logits } = await recorded(`step${capacity}`, recordStep(capacity)).run({ inputs, positions });
      const V = logits!.length / slots;
      for (const slot of next.keys()) kept[slot] = ++filled[slot]!;
      return new Map([...next.keys()].map((slot) => [slot, logits!.subarray(slot * V, (slot + 1) * V)]));
    },
    free: (slot) => {
      filled[slot] = 0;
    },
  };
}

/**
 * What `fusedCachedAttention` does, from TensorFlow's operations: the whole cache is read, and what is not filled
 * hidden.
 */
export function maskedAttention(query: Tensor, keys: Tensor, values: Tensor, positions: Tensor): Tensor {
  const [B, K, , D] = query.shape as [number, number, number, number];
  const S = keys.shape[0]! / (B * K);
  const places = tensor(
    Int32Array.from({ length: S }, (_, i) => i),
    [1, S],
    'int32',
  );
  const isHidden = greater(places, reshape(positions, [B, 1]));
  const mask = reshape(mul(cast(isHidden, 'float32'), -1e9), [B, 1, 1, 1, S]);
  return attend(query, reshape(keys, [B, K, S, D]), reshape(values, [B, K, S, D]), mask, null);
}

const cacheName = (path: string, part: 'keys' | 'values', S: number): string => `${path}.${part}@${S}`;
