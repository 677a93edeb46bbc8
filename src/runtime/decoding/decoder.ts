/** Steps of decoding by clm's library, outside of TensorFlow (native/decoding/decoder.h), on variables in place. */
import { briefly } from './brief.ts';
import { decoderFunctions, storedInDecoder, type SizesOfDecoder } from '../kernelLibrary.ts';
import type { Pointer } from '../libc.ts';
import type { StoredAs } from '../variables.ts';

/** A model as the library knows it; names are those of variables. */
export interface DecoderModel {
  sizes: Omit<SizesOfDecoder, 'weights' | 'positions'>;
  /**
   * The weights in the order that the library expects, null for what the model does not have. All matrices are stored
   * as the first, the token embedding, but for the second, learned positions.
   */
  weights: readonly (string | null)[];
  /** Of RoPE (D/2); null without. */
  frequencies: Float32Array | null;
  /** Whether RoPE applies, by layer. */
  isRotated: readonly boolean[];
}

/** How often a part of a step was computed, and how long that took in all. */
export interface PartTime {
  part: string;
  count: number;
  ms: number;
}

const parts = ['embedding', 'norms', 'products in blocks', 'attention', 'output head'] as const;

export interface Decoder {
  /**
   * To be called whenever these variables have been assigned other memory.
   *
   * @param capacity S in positions of a slot @param names keys and values of each layer
   */
  useCaches(capacity: number, names: readonly string[]): Promise<void>;
  /**
   * Appends a token to the text in each of R slots, at its position, below the capacity. Calls must not overlap.
   *
   * @param isBrief run it on the JavaScript thread
   * @returns the logits (R, V)
   */
  step(
    slots: readonly number[],
    ids: readonly number[],
    positions: readonly number[],
    isBrief: boolean,
  ): Promise<Float32Array>;
  /** Of the steps since the last call. */
  takeTimes(): PartTime[];
  close(): void;
}

/** Memory of the values of variables, which stays where it is until it is released. */
export interface HeldValues {
  addresses: readonly Pointer[];
  storedAs: readonly StoredAs[];
  release(): void;
}

/** @param hold takes hold of variables by their names */
export function openDecoder(model: DecoderModel, hold: (names: readonly string[]) => Promise<HeldValues>): Decoder {
  const c = decoderFunctions();
  const { sizes, frequencies, isRotated } = model;
  let decoder: Pointer = null;
  let weights: HeldValues | undefined;
  let caches: HeldValues | undefined;
  return {
    useCaches: async (capacity, names) => {
      if (weights === undefined) {
        const present = model.weights.filter((name) => name !== null);
        weights = await hold(present);
        const { addresses, storedAs } = weights;
        const inOrder = model.weights.map((name) => (name === null ? null : addresses[present.indexOf(name)]));
        const [ofMatrices, ofPositions] = model.weights.map((name) =>
          name === null ? 0 : storedInDecoder.indexOf(storedAs[present.indexOf(name)]!),
        );
        const all = { ...sizes, weights: ofMatrices, positions: ofPositions };
        decoder = c.open(all, inOrder, frequencies, Uint8Array.from(isRotated, Number)) as Pointer;
      }
      const held = await hold(names);
      caches?.release();
      caches = held;
      c.setCaches(decoder, capacity, held.addresses);
    },
    step: async (slots, ids, positions, isBrief) => {
      const logits = new Float32Array(slots.length * sizes.vocabularySize);
      const inputs = [slots, ids, positions].map((values) => Int32Array.from(values));
      const step = [decoder, slots.length, ...inputs, logits];
      if (isBrief) await briefly(() => c.step(...step));
      else
        await new Promise<void>((resolve, reject) => {
          c.step.async(...step, (error: Error | null) => (error ? reject(error) : resolve()));
        });
      return logits;
    },
    takeTimes: () => {
      const [counts, seconds] = [new BigInt64Array(parts.length), new Float64Array(parts.length)];
      if (decoder !== null) c.takeTimes(decoder, counts, seconds);
      return parts.map((part, i) => ({ part, count: Number(counts[i]), ms: 1000 * seconds[i]! }));
    },
    close: () => {
      weights?.release();
      caches?.release();
      if (decoder !== null) c.close(decoder);
    },
  };
}
