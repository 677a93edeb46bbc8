/**
 * Row 13 of the walk: generation is one token at a time, because the tokens that follow do not exist yet. Many texts
 * grow side by side, one in each slot of the cache; a slot whose text has ended takes the next prompt at once. What is
 * in memory is what is growing, and what has to wait for its turn to be given out.
 */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { growCompletion, type Completion, type Growing } from './completion.ts';
import type { Decoding } from './decoding.ts';
import type { CompletionSettings } from './settings.ts';

/** One completion that is wanted: `settings.samples` has been spread over requests already. */
export interface CompletionRequest {
  prompt: string;
  promptTokenIds: readonly number[];
  settings: CompletionSettings;
  /** From when its first token is waited for (performance.now()); absent: from when its turn comes. */
  beganMs?: number;
}

/** `index` counts the requests, from 0. A completion's texts come before its end. */
type Generated =
  | { kind: 'text'; index: number; text: string }
  | { kind: 'completion'; index: number; completion: Completion };

interface GenerateOptions {
  /** `input`: ends come in the order of the requests; `completed`: as soon as they are. */
  order: 'input' | 'completed';
  /** Ends everything at the next token; what was growing is given out as it is. */
  signal?: AbortSignal | undefined;
}

/** How far beyond the oldest text still growing a request may be begun, in slots: what an order costs in memory. */
const longestQueue = 32;

/** The completions of all requests; texts of one step come in the order of the slots. */
export async function* generate(
  decoding: Decoding,
  tokenizer: Tokenizer,
  requests: AsyncIterable<CompletionRequest> | Iterable<CompletionRequest>,
  { order, signal }: GenerateOptions,
): AsyncGenerator<Generated, void, void> {
  const source = Symbol.asyncIterator in requests ? requests[Symbol.asyncIterator]() : requests[Symbol.iterator]();
  const slots = new Array<Slot | undefined>(decoding.slots).fill(undefined);
  const waiting = new Map<number, Completion>(); // ended before their turn
  let begun = 0;
  let given = 0;
  let upcoming: Promise<IteratorResult<CompletionRequest>> | undefined;
  let exhausted = false;
  /** The prompt read last, while a slot keeps its keys and values: further samples of it need no pass of their own. */
  let latest: { promptTokenIds: readonly number[]; slot: number; logits: Float32Array } | undefined;

  function* ended(slot: number): Generator<Generated> {
    const { index, growing, beganMs, prefillBeganMs } = slots[slot]!;
    slots[slot] = undefined;
    decoding.free(slot);
    const completion = growing.result(beganMs, prefillBeganMs);
    if (order === 'completed') {
      given++;
      yield { kind: 'completion', index, completion };
      return;
    }
    waiting.set(index, completion);
    for (let next = waiting.get(given); next !== undefined; next = waiting.get(given)) {
      waiting.delete(given);
      yield { kind: 'completion', index: given++, completion: next };
    }
  }
  function* grow(slot: number, logits: Float32Array): Generator<Generated> {
    const { index, growing } = slots[slot]!;
    const text = growing.take(logits);
    if (text !== '') yield { kind: 'text', index, text };
    if (growing.finishReason !== null) yield* ended(slot);
  }

  try {
    for (;;) {
      // Free slots take the next prompts; while others grow, a source that is slow is not waited for.
      for (let slot = 0; slot < slots.length && !exhausted && !signal?.aborted; slot++) {
        if (slots[slot] !== undefined || begun - given >= longestQueue * slots.length) continue;
        upcoming ??= Promise.resolve(source.next());
        const next = slots.every((taken) => taken === undefined) ? await upcoming : await readyOr(upcoming);
        if (next === undefined) break;
        upcoming = undefined;
        if (next.done) {
          exhausted = true;
          break;
        }
        const { prompt, promptTokenIds, settings, beganMs } = next.value;
        const prefillBeganMs = performance.now();
        const growing = growCompletion(prompt, promptTokenIds, settings, tokenizer);
        slots[slot] = { index: begun++, growing, prefillBeganMs, beganMs: beganMs ?? prefillBeganMs };
        const seen = promptTokenIds.slice(-decoding.contextLength);
        if (latest?.promptTokenIds === promptTokenIds) await decoding.copy(latest.slot, slot, seen.length);
        else latest = { promptTokenIds, slot, logits: await decoding.prefill(slot, seen) };
        yield* grow(slot, latest.logits);
      }
      if (slots.every((taken) => taken === undefined)) {
        if (exhausted || signal?.aborted) return;
        continue;
      }
      // Then every text grows by one token.
      const next = new Map<number, number>();
      for (const [slot, taken] of slots.entries()) {
        if (taken === undefined) continue;
        const { index, growing } = taken;
        if (
          signal?.aborted ||
          (decoding.length(slot) === decoding.contextLength && growing.settings.beyondContext === 'stop')
        ) {
          const text = growing.endHere();
          if (text !== '') yield { kind: 'text', index, text };
          yield* ended(slot);
        } else if (decoding.length(slot) === decoding.contextLength) {
          if (slot === latest?.slot) latest = undefined;
          yield* grow(slot, await decoding.prefill(slot, slidWindow(growing, decoding.contextLength)));
        } else {
          next.set(slot, growing.tokenIds.at(-1)!);
        }
      }
      if (next.size === 0) continue;
      for (const [slot, logits] of await decoding.step(next)) yield* grow(slot, logits);
    }
  } finally {
    for (const slot of slots.keys()) decoding.free(slot);
    await source.return?.();
  }
}

interface Slot {
  index: number;
  growing: Growing;
  beganMs: number;
  prefillBeganMs: number;
}

/**
 * What is seen of a text that is longer than the context: its oldest quarter is let go and the rest read anew, at
 * positions from 0, so that learned positions are right and no key has seen what is gone.
 */
export function slidWindow(
  { promptTokenIds, tokenIds }: Pick<Growing, 'promptTokenIds' | 'tokenIds'>,
  contextLength: number,
): number[] {
  const kept = Math.max(1, contextLength - Math.max(1, Math.floor(contextLength / 4)));
  return [...promptTokenIds, ...tokenIds].slice(-kept);
}

/** What a promise has settled to by the next turn of the event loop, or undefined. */
const readyOr = <T>(promise: Promise<T>): Promise<T | undefined> =>
  Promise.race([promise, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
