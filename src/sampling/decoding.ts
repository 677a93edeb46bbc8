/**
 * Decoding with a key/value cache. The cache has B slots, each holding one text: a prompt is read in one pass
 * (prefill), and every further token costs a pass of one row per slot that attends to the cached keys and values.
 *
 * The cost of a step grows with the capacity of the cache, so the capacity starts small and grows with the longest text
 * rather than being the context length from the start.
 */
import type { Adapter } from '../model/adapter.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import type { Session } from '../runtime/session.ts';
import type { Decoder, PartTime } from '../runtime/decoding/decoder.ts';
import { elementCount } from '../tensors/tensors.ts';
import { addCacheVariables, addCacheViews, cacheLayout, cacheView, firstRowOf } from './cacheLayout.ts';
import { briefWeights, recordCopy, recordPrefill, recordResize, recordStep } from './decodingPrograms.ts';
import type { DecodingSetup } from './decodingPrograms.ts';
import { modelOfDecoder } from '../model/nativeStep.ts';
import { paddedLength, recordedOnce } from './recordedSizes.ts';

export interface Decoding {
  readonly slots: number;
  readonly contextLength: number;
  /** Tokens of the text in a slot; 0 for a free slot. */
  length(slot: number): number;
  /** Replaces the text of a slot by these tokens (1 … contextLength). @returns the logits (V) after them */
  prefill(slot: number, tokenIds: readonly number[]): Promise<Float32Array>;
  /**
   * Replaces the text of slot `to` by the first `length` tokens of slot `from`. That slot may have been freed, as long
   * as nothing has overwritten them, and may be the same slot.
   *
   * @returns false, with nothing changed, if some of them have been overwritten: read the text again with `prefill`
   */
  copy(from: number, to: number, length: number): Promise<boolean>;
  /**
   * As `prefill`, but tokens that the slot already holds from its start are not read again, if few others follow: those
   * are appended one by one. The logits may differ from those of `prefill` in their last bits.
   */
  readOn(slot: number, tokenIds: readonly number[]): Promise<Float32Array>;
  /** Appends one token to each slot named, none of them full. @returns the logits (V) after it, by slot */
  step(next: ReadonlyMap<number, number>): Promise<Map<number, Float32Array>>;
  free(slot: number): void;
  /** Where the time of the steps since the last call went; null if TensorFlow computes them. */
  takeTimes(): PartTime[] | null;
}

const shortestCapacity = 64;

/**
 * Prompts of a model with a short context are all padded to the context length: recording a second program would take
 * longer than computing the padding.
 */
const shortestPrefill = (contextLength: number): number => (contextLength <= 128 ? contextLength : 16);

/** A step of one token reads all weights: it takes about as long as so many tokens of a prefill. */
const tokensPerStep = 8;

/**
 * Programs are recorded when first needed; the first prefill creates the cache. At most one Decoding per session.
 *
 * @param table of the variables that are the model, those of an adapter included
 * @param options.isTraining whether the variables change between completions
 */
export function openDecoding(
  session: Session,
  model: ModelConfig,
  table: readonly ParameterSpec[],
  slots: number,
  { adapter = null, isTraining = false }: { adapter?: Adapter | null; isTraining?: boolean } = {},
): Decoding {
  const { contextLength } = model;
  const cache = cacheLayout(model, slots);
  const setup: DecodingSetup = { session, model, adapter, table, cache };
  const prefillProgram = recordedOnce((P: number, S: number) => recordPrefill(setup, P, S));
  const stepProgram = recordedOnce((S: number) => recordStep(setup, S));
  const resizeProgram = recordedOnce((from: number, to: number) => recordResize(setup, from, to));
  const copyProgram = recordedOnce((S: number) => recordCopy(setup, S));
  const addViews = recordedOnce((S: number) => addCacheViews(session, cache, S));

  const described = adapter === null && !isTraining ? modelOfDecoder(model, table) : null;
  const decoder = described && session.decoder(described);
  const parameterCount = table.reduce((sum, { shape }) => sum + elementCount(shape), 0);

  let capacity = 0;
  /** That of the caches as the decoder knows them. */
  let decoderCapacity = 0;
  const lengths = new Array<number>(slots).fill(0);
  /** Number of tokens whose keys and values are still in the cache; those of a freed slot remain until overwritten. */
  const cached = new Array<number>(slots).fill(0);
  /** Which tokens these are; perhaps followed by others that have been overwritten. */
  const tokensOf = Array.from({ length: slots }, (): number[] => []);

  const setCapacity = async (S: number): Promise<void> => {
    if (S === capacity) return;
    if (capacity === 0) await addCacheVariables(session, cache, S);
    addViews(S);
    if (capacity !== 0) await resizeProgram(capacity, S).run({});
    capacity = S;
    for (let slot = 0; slot < slots; slot++) cached[slot] = Math.min(cached[slot]!, S);
  };
  /** Grows the cache for a text of this length; shrinks it only while every slot is free. */
  const makeRoom = async (length: number): Promise<void> => {
    const needed = paddedLength(length, contextLength, shortestCapacity);
    if (needed > capacity || lengths.every((each) => each === 0)) await setCapacity(needed);
  };

  /** The logits after the next tokens, by slot: computed by a program of TensorFlow for all slots. */
  const recordedStep: Decoding['step'] = async (next) => {
    const positions = Int32Array.from(lengths);
    const inputs = new Int32Array(slots);
    for (const [slot, tokenId] of next) inputs[slot] = tokenId;
    // Slots that get no token write behind what they have cached, or over the last of it if the cache is full.
    for (let slot = 0; slot < slots; slot++)
      if (!next.has(slot)) positions[slot] = cached[slot] = Math.min(cached[slot]!, capacity - 1);
    const { logits } = await stepProgram(capacity).run({ inputs, positions });
    const V = logits.length / slots;
    return new Map([...next.keys()].map((slot) => [slot, logits.subarray(slot * V, (slot + 1) * V)]));
  };
  /** The same by clm's library, for these slots alone. */
  const nativeStep = async (of: Decoder, next: ReadonlyMap<number, number>): ReturnType<Decoding['step']> => {
    if (decoderCapacity !== capacity)
      await of.useCaches(
        capacity,
        cache.variables.map((name) => cacheView(name, capacity)),
      );
    decoderCapacity = capacity;
    const taking = [...next.keys()];
    const isBrief = taking.length * parameterCount < briefWeights;
    const positions = taking.map((slot) => lengths[slot]!);
    const logits = await of.step(taking, [...next.values()], positions, isBrief);
    const V = logits.length / taking.length;
    return new Map(taking.map((slot, row) => [slot, logits.subarray(row * V, (row + 1) * V)]));
  };

  const decoding: Decoding = {
    slots,
    contextLength,
    length: (slot) => lengths[slot]!,
    prefill: async (slot, tokenIds) => {
      if (tokenIds.length < 1 || tokenIds.length > contextLength)
        throw new Error(`a slot holds 1 to ${contextLength} tokens, not ${tokenIds.length}`);
      lengths[slot] = 0;
      const P = paddedLength(tokenIds.length, contextLength, shortestPrefill(contextLength));
      await makeRoom(P);
      const inputs = new Int32Array(P); // the padding follows the tokens, so the causal mask hides it from them
      inputs.set(tokenIds);
      const { logits } = await prefillProgram(P, capacity).run({
        inputs,
        last: Int32Array.of(tokenIds.length - 1),
        firstRow: Int32Array.of(firstRowOf(slot, cache, capacity)),
      });
      lengths[slot] = cached[slot] = tokenIds.length;
      tokensOf[slot] = [...tokenIds];
      return logits;
    },
    copy: async (from, to, length) => {
      await makeRoom(length);
      if (cached[from]! < length) return false;
      if (from !== to) {
        const [fromRow, toRow] = [from, to].map((slot) => Int32Array.of(firstRowOf(slot, cache, capacity)));
        await copyProgram(capacity).run({ fromRow: fromRow!, toRow: toRow! });
      }
      lengths[to] = cached[to] = length;
      tokensOf[to] = tokensOf[from]!.slice(0, length);
      return true;
    },
    readOn: async (slot, tokenIds) => {
      const held = tokensOf[slot]!.slice(0, cached[slot]);
      let equal = 0;
      while (equal < Math.min(held.length, tokenIds.length - 1) && held[equal] === tokenIds[equal]) equal++;
      const rest = tokenIds.slice(equal);
      if (rest.length * tokensPerStep > tokenIds.length || !(await decoding.copy(slot, slot, equal)))
        return decoding.prefill(slot, tokenIds);
      let logits: Float32Array = new Float32Array(0);
      for (const tokenId of rest) logits = (await decoding.step(new Map([[slot, tokenId]]))).get(slot)!;
      return logits;
    },
    step: async (next) => {
      for (const slot of next.keys()) if (lengths[slot]! >= contextLength) throw new Error(`slot ${slot} is full`);
      await makeRoom(Math.max(...lengths) + 1);
      const logits = await (decoder === null ? recordedStep(next) : nativeStep(decoder, next));
      for (const [slot, tokenId] of next) {
        tokensOf[slot]!.length = lengths[slot]!;
        tokensOf[slot]!.push(tokenId);
        cached[slot] = ++lengths[slot]!;
      }
      return logits;
    },
    takeTimes: () => decoder?.takeTimes() ?? null,
    free: (slot) => {
      lengths[slot] = 0;
    },
  };
  return decoding;
}
