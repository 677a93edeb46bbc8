/**
 * Row 13 of the walk: generation is one token at a time, because the tokens that follow do not exist yet.
 * Every token costs one forward pass over the tokens before it; there is no key/value cache.
 */
import { reshape } from '@tensorflow/tfjs-core';
import { hiddenStates, logitsOf } from '../model/decoder.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { randomStream } from '../random.ts';
import type { Program, Session } from '../runtime/session.ts';
import { gatherRows } from '../runtime/operations.ts';
import { sampleToken, type SamplerSettings } from './sampler.ts';

/** Logits (V) of the token after `tokenIds`; of more than the context length only the last ones are seen. */
export type NextLogits = (tokenIds: readonly number[]) => Promise<Float32Array>;

export interface CompletionSettings extends SamplerSettings {
  maxTokens: number;
  seed: number;
}

/** The shortest input recorded; shorter ones are padded to it, longer ones to the next power of two. */
const shortestInput = 16;

/**
 * Forward passes of a few lengths, each recorded when first needed. Padding stands behind the tokens, where
 * the causal mask hides it from every position that is read.
 */
export function recordNextLogits(session: Session, model: ModelConfig, table: readonly ParameterSpec[]): NextLogits {
  const programs = new Map<number, Program>();
  const programFor = (positions: number): Program => {
    let program = programs.get(positions);
    if (!program) {
      const inputs = {
        inputs: { shape: [positions], dtype: 'int32' },
        last: { shape: [1], dtype: 'int32' },
      } as const;
      program = session.program(`logits${positions}`, inputs, (feeds, variables) => {
        const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
        const hidden = hiddenStates(parameters, feeds['inputs']!, { model, batchSize: 1, positions, dropout: null });
        const row = gatherRows(hidden, feeds['last']!); // (1, C): only one position's logits are wanted
        return { logits: reshape(logitsOf(parameters, row), [-1]) };
      });
      programs.set(positions, program);
    }
    return program;
  };
  return async (tokenIds) => {
    const visible = tokenIds.slice(-model.contextLength);
    let positions = shortestInput;
    while (positions < visible.length) positions *= 2;
    positions = Math.min(positions, model.contextLength);
    const inputs = new Int32Array(positions);
    inputs.set(visible);
    const result = await programFor(positions).run({ inputs, last: Int32Array.of(visible.length - 1) });
    return result['logits']!;
  };
}

/**
 * The tokens of a completion as they are drawn. Beyond the context length the window slides: positions
 * count from the first visible token, and everything is computed anew, so learned positions stay right.
 */
export async function* complete(
  nextLogits: NextLogits,
  promptTokenIds: ArrayLike<number>,
  settings: CompletionSettings,
): AsyncGenerator<number, void, void> {
  if (promptTokenIds.length === 0) throw new Error('a completion needs at least one token to follow');
  const tokenIds = Array.from(promptTokenIds);
  for (let i = 0; i < settings.maxTokens; i++) {
    const uniform = randomStream(settings.seed, 'completion', i).uniform();
    const tokenId = sampleToken(await nextLogits(tokenIds), settings, uniform);
    tokenIds.push(tokenId);
    yield tokenId;
  }
}
