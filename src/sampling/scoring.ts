/**
 * How likely a model finds texts that are there already: the loss of every token given those before it, by the same
 * operations as in training. Texts longer than the context are scored in windows that overlap.
 *
 * B windows · P padded length · T context length
 */
import { concat, reshape, slice } from '@tensorflow/tfjs-core';
import { hiddenStates, logitsOf } from '../model/decoder.ts';
import { chunkRows } from '../model/lossChunks.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { sparseCrossEntropy } from '../ops/operations.ts';
import type { Program } from '../runtime/program.ts';
import type { Session } from '../runtime/session.ts';
import { paddedLength } from './recordedSizes.ts';

export interface Scoring {
  readonly contextLength: number;
  /** How many full windows are best scored at a time. */
  readonly batchSize: number;
  /**
   * @param windows of 2 … T + 1 token ids each, `batchSize` at most @returns −ln p of each token but the first, nats
   */
  losses(windows: readonly ArrayLike<number>[]): Promise<Float32Array[]>;
}

/** Rows of a pass; more gain nothing and cost memory. */
const rowsAtATime = 1024;
const shortestPass = 16;

/** Programs are recorded when first needed. */
export function openScoring(
  session: Session,
  model: ModelConfig,
  table: readonly ParameterSpec[],
  vocabularySize: number,
): Scoring {
  const T = model.contextLength;
  const programs = new Map<string, Program>();
  const programFor = (B: number, P: number): Program => {
    const name = `losses${B}x${P}`;
    const known = programs.get(name);
    if (known) return known;
    const N = B * P;
    const inputs = { inputs: { shape: [N], dtype: 'int32' }, targets: { shape: [N], dtype: 'int32' } } as const;
    const program = session.program(name, inputs, (feeds, variables) => {
      const parameters = Object.fromEntries(table.map((spec) => [spec.name, variables.weights(spec.name)]));
      const hidden = hiddenStates(parameters, feeds['inputs']!, { model, batchSize: B, length: P, dropout: null });
      // All logits of a large vocabulary would be gigabytes.
      const rows = chunkRows(N, vocabularySize);
      const parts = Array.from({ length: Math.ceil(N / rows) }, (_, i) => {
        const count = Math.min(rows, N - i * rows);
        const part = logitsOf(parameters, slice(hidden, [i * rows, 0], [count, model.width]));
        return sparseCrossEntropy(part, slice(feeds['targets']!, [i * rows], [count]));
      });
      return { losses: reshape(parts.length === 1 ? parts[0]! : concat(parts), [N]) };
    });
    programs.set(name, program);
    return program;
  };
  const batchSize = Math.max(1, Math.floor(rowsAtATime / T));
  return {
    contextLength: T,
    batchSize,
    losses: async (windows) => {
      const P = paddedLength(Math.max(...windows.map(({ length }) => length)) - 1, T, shortestPass);
      const B = windows.length === 1 ? 1 : batchSize;
      const inputs = new Int32Array(B * P); // padding stands behind the tokens, where the mask hides it
      const targets = new Int32Array(B * P);
      for (const [row, window] of windows.entries()) {
        const tokenIds = Int32Array.from(window);
        inputs.set(tokenIds.subarray(0, -1), row * P);
        targets.set(tokenIds.subarray(1), row * P);
      }
      const { losses } = await programFor(B, P).run({ inputs, targets });
      return windows.map(({ length }, row) => losses!.slice(row * P, row * P + length - 1));
    },
  };
}

/** A window of a longer text. The first `context` of its tokens are only looked back on. */
export interface OverlappingWindow {
  tokenIds: Int32Array;
  /** 1 for each token that counts, or null where all do. */
  lossMask: Uint8Array | null;
  context: number;
}

/**
 * Cuts a stream of tokens into windows of T + 1 so that every token but the first of a text is scored once.
 *
 * @param overlap tokens that a window shares with the one before, only looked back on: more context for the first
 *   tokens of a window, for T/(T − overlap) times the work; 0 … T − 1
 */
export async function* overlappingWindows(
  chunks: AsyncIterable<{ tokenIds: Int32Array; lossMask: Uint8Array | null; startsText?: boolean }>,
  T: number,
  overlap: number,
): AsyncGenerator<OverlappingWindow, void, void> {
  const window = new Int32Array(T + 1);
  const counts = new Uint8Array(T + 1);
  let hasPrompts = false;
  let filled = 0;
  let context = 1;
  const taken = (): OverlappingWindow => ({
    tokenIds: window.slice(0, filled),
    lossMask: hasPrompts ? counts.slice(0, filled) : null,
    context,
  });
  for await (const { tokenIds, lossMask, startsText = false } of chunks) {
    if (startsText) {
      if (filled > context) yield taken();
      filled = 0;
      context = 1;
    }
    hasPrompts ||= lossMask !== null;
    for (let at = 0; at < tokenIds.length; ) {
      const count = Math.min(tokenIds.length - at, window.length - filled);
      window.set(tokenIds.subarray(at, at + count), filled);
      if (lossMask === null) counts.fill(1, filled, filled + count);
      else counts.set(lossMask.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled < window.length) continue;
      yield taken();
      context = overlap + 1;
      window.copyWithin(0, T - overlap);
      counts.copyWithin(0, T - overlap);
      filled = context;
    }
  }
  if (filled > context) yield taken();
}

/** −ln p of each token of a text but the first (tokenIds.length − 1 numbers), half of every window looked back on. */
export async function textLosses(scoring: Scoring, tokenIds: Int32Array): Promise<Float32Array> {
  const T = scoring.contextLength;
  const losses = new Float32Array(Math.max(0, tokenIds.length - 1));
  const whole = async function* () {
    yield { tokenIds, lossMask: null };
  };
  let at = 0;
  for await (const window of overlappingWindows(whole(), T, Math.floor(T / 2))) {
    const [all] = await scoring.losses([window.tokenIds]);
    const scored = all!.subarray(window.context - 1);
    losses.set(scored, at);
    at += scored.length;
  }
  return losses;
}
