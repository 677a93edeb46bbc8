/**
 * Generates the completions of many prompts. Up to B of them are generated at the same time, one in each slot of the
 * key/value cache; when one ends, its slot takes the next prompt. Only completions in progress are in memory, and
 * finished ones that wait for an earlier one. Stage: completion (src/README.md).
 */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { ExpectedError } from '../errors.ts';
import { startCompletion, type Completion, type CompletionInProgress } from './completion.ts';
import type { Decoding } from './decoding.ts';
import type { CompletionSettings } from './settings.ts';

/** One completion to generate: a prompt with `settings.samples` above 1 has been split into several requests. */
export interface CompletionRequest {
  prompt: string;
  promptTokenIds: readonly number[];
  settings: CompletionSettings;
  /** Time (performance.now()) from which `firstTokenMs` counts; absent: when the prompt is read. */
  beganMs?: number;
  /** Ends this completion at its next token; it is yielded as it is. */
  signal?: AbortSignal;
  /** Called if this completion cannot go on, and is not yielded; without it the error is thrown and ends them all. */
  onFailure?: (error: ExpectedError) => void;
}

/** `index` counts the requests from 0. The texts of a completion precede the completion itself. */
type Generated =
  | { kind: 'text'; index: number; text: string; progress: CompletionInProgress }
  | { kind: 'completion'; index: number; completion: Completion };

interface GenerateOptions {
  /** Order of the completions: `input`, that of the requests; `completed`, each as soon as it ends. */
  order: 'input' | 'completed';
  /** Ends all completions at the next token; those in progress are yielded as they are. */
  signal?: AbortSignal | undefined;
  /** Whether a prompt goes on from what its slot holds, as the turns of a chat do; see `Decoding.readOn`. */
  readsOn?: boolean | undefined;
  /** Between two tokens, prompts are read until they have so many, so that no completion waits for many of them. */
  promptTokensPerStep?: number;
}

/** With order `input`, at most this many requests per slot are started ahead of the oldest unfinished one. */
const maxStartedPerSlot = 32;

/** Yields the completions of all requests; texts of one step come in the order of the slots. */
export async function* generate(
  decoding: Decoding,
  tokenizer: Tokenizer,
  requests: AsyncIterable<CompletionRequest> | Iterable<CompletionRequest>,
  { order, signal, readsOn = false, promptTokensPerStep = Infinity }: GenerateOptions,
): AsyncGenerator<Generated, void, void> {
  const source = Symbol.asyncIterator in requests ? requests[Symbol.asyncIterator]() : requests[Symbol.iterator]();
  const slots = new Array<Slot | undefined>(decoding.slots).fill(undefined);
  const areAllFree = (): boolean => slots.every((slot) => slot === undefined);
  const finished = new Map<number, Completion>(); // waiting for an earlier request
  let started = 0;
  let yielded = 0;
  let upcoming: Promise<IteratorResult<CompletionRequest>> | undefined;
  let isExhausted = false;
  /** The last prompt read and a slot that still has its keys and values: further samples copy them. */
  let latest: { promptTokenIds: readonly number[]; slot: number; logits: Float32Array } | undefined;

  function* finish(slot: number): Generator<Generated> {
    const { index, progress, beganMs, prefillBeganMs } = slots[slot]!;
    slots[slot] = undefined;
    decoding.free(slot);
    const completion = progress.result(beganMs, prefillBeganMs);
    if (order === 'completed') {
      yielded++;
      yield { kind: 'completion', index, completion };
      return;
    }
    finished.set(index, completion);
    for (let next = finished.get(yielded); next !== undefined; next = finished.get(yielded)) {
      finished.delete(yielded);
      yield { kind: 'completion', index: yielded++, completion: next };
    }
  }
  function* sampleNext(slot: number, logits: Float32Array): Generator<Generated> {
    const { index, progress, onFailure } = slots[slot]!;
    let text: string;
    try {
      text = progress.sampleNext(logits);
    } catch (error) {
      if (onFailure === undefined || !(error instanceof ExpectedError)) throw error;
      slots[slot] = undefined;
      decoding.free(slot);
      yielded++;
      onFailure(error);
      return;
    }
    if (text !== '') yield { kind: 'text', index, text, progress };
    if (progress.finishReason !== null) yield* finish(slot);
  }

  try {
    for (;;) {
      // Free slots take the next prompts. If some slots are in use, they do not wait for a slow source.
      let promptTokens = 0;
      for (let slot = 0; slot < slots.length && !isExhausted && !signal?.aborted; slot++) {
        if (promptTokens >= promptTokensPerStep) break;
        if (slots[slot] !== undefined || started - yielded >= maxStartedPerSlot * slots.length) continue;
        upcoming ??= Promise.resolve(source.next());
        const next = areAllFree() ? await upcoming : await readyOr(upcoming);
        if (next === undefined) break;
        upcoming = undefined;
        if (next.done) {
          isExhausted = true;
          break;
        }
        const { prompt, promptTokenIds, settings, beganMs, ...own } = next.value;
        const prefillBeganMs = performance.now();
        const progress = startCompletion(prompt, promptTokenIds, settings, tokenizer);
        const index = started++;
        slots[slot] = { index, progress, prefillBeganMs, beganMs: beganMs ?? prefillBeganMs, ...own };
        const visible = promptTokenIds.slice(-decoding.contextLength);
        const isSame = latest?.promptTokenIds === promptTokenIds;
        if (!isSame || !(await decoding.copy(latest!.slot, slot, visible.length))) {
          promptTokens += visible.length;
          latest = { promptTokenIds, slot, logits: await decoding[readsOn ? 'readOn' : 'prefill'](slot, visible) };
        }
        yield* sampleNext(slot, latest!.logits);
      }
      if (areAllFree()) {
        if (isExhausted || signal?.aborted) return;
        continue;
      }
      // Then every completion in progress gets one token.
      const next = new Map<number, number>();
      for (const [slot, taken] of slots.entries()) {
        if (taken === undefined) continue;
        const { index, progress } = taken;
        const isFull = decoding.length(slot) === decoding.contextLength;
        if (signal?.aborted || taken.signal?.aborted || (isFull && progress.settings.beyondContext === 'stop')) {
          const text = progress.endHere();
          if (text !== '') yield { kind: 'text', index, text, progress };
          yield* finish(slot);
        } else if (isFull) {
          if (slot === latest?.slot) latest = undefined;
          yield* sampleNext(slot, await decoding.prefill(slot, slideContext(progress, decoding.contextLength)));
        } else {
          next.set(slot, progress.tokenIds.at(-1)!);
        }
      }
      if (next.size === 0) continue;
      for (const [slot, logits] of await decoding.step(next)) yield* sampleNext(slot, logits);
    }
  } finally {
    for (const slot of slots.keys()) decoding.free(slot);
    await source.return?.();
  }
}

interface Slot extends Pick<CompletionRequest, 'signal' | 'onFailure'> {
  index: number;
  progress: CompletionInProgress;
  beganMs: number;
  prefillBeganMs: number;
}

/**
 * The tokens kept when the context is full: all but the oldest quarter. They are read again as a prompt, so that their
 * positions start at 0 and no key depends on the tokens that were dropped.
 */
export function slideContext(
  { promptTokenIds, tokenIds }: Pick<CompletionInProgress, 'promptTokenIds' | 'tokenIds'>,
  contextLength: number,
): number[] {
  const kept = Math.max(1, contextLength - Math.max(1, Math.floor(contextLength / 4)));
  return [...promptTokenIds, ...tokenIds].slice(-kept);
}

/** The value of a promise if it resolves by the next turn of the event loop, else undefined. */
const readyOr = <T>(promise: Promise<T>): Promise<T | undefined> =>
  Promise.race([promise, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
