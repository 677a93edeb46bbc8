/**
 * The recorded programs that compute how likely a model finds given tokens, with the same operations as in training.
 *
 * B windows · P padded length · T context length
 */
import { concat, reshape, slice } from '../../tfjs.ts';
import { storedParameters } from '../../model/decoderPass.ts';
import { hiddenStates, logitsOf } from '../../model/decoder.ts';
import { chunkRows, type ModelConfig, type ParameterSpec } from '../../model/parameters.ts';
import { sparseCrossEntropy } from '../../ops/crossEntropy.ts';
import type { Session } from '../../runtime/session.ts';
import { paddedLength, recordedOnce } from '../recordedSizes.ts';
import type { TokenLosses } from './overlappingWindows.ts';

/** Rows of a pass; more do not make it faster and cost memory. */
const rowsAtATime = 1024;
const shortestPass = 16;

/** Programs are recorded when first needed. */
export function openTokenLosses(
  session: Session,
  model: ModelConfig,
  table: readonly ParameterSpec[],
  vocabularySize: number,
): TokenLosses {
  const T = model.contextLength;
  const programFor = recordedOnce((B: number, P: number) => {
    const N = B * P;
    const inputs = { inputs: { shape: [N], dtype: 'int32' }, targets: { shape: [N], dtype: 'int32' } } as const;
    return session.program(`losses${B}x${P}`, inputs, (feeds, variables) => {
      const parameters = storedParameters(table, variables);
      const hidden = hiddenStates(parameters, feeds.inputs, { model, batchSize: B, length: P, dropout: null });
      // With a large vocabulary the logits of all rows at once would take gigabytes.
      const rows = chunkRows(N, vocabularySize);
      const parts = Array.from({ length: Math.ceil(N / rows) }, (_, i) => {
        const count = Math.min(rows, N - i * rows);
        const part = logitsOf(parameters, slice(hidden, [i * rows, 0], [count, model.width]), model);
        return sparseCrossEntropy(part, slice(feeds.targets, [i * rows], [count]));
      });
      return { losses: reshape(parts.length === 1 ? parts[0]! : concat(parts), [N]) };
    });
  });
  const batchSize = Math.max(1, Math.floor(rowsAtATime / T));
  return {
    contextLength: T,
    batchSize,
    ofWindows: async (windows) => {
      const P = paddedLength(Math.max(...windows.map(({ length }) => length)) - 1, T, shortestPass);
      const B = windows.length === 1 ? 1 : batchSize;
      const inputs = new Int32Array(B * P); // the padding follows the tokens, so the causal mask hides it from them
      const targets = new Int32Array(B * P);
      for (const [row, window] of windows.entries()) {
        const tokenIds = Int32Array.from(window);
        inputs.set(tokenIds.subarray(0, -1), row * P);
        targets.set(tokenIds.subarray(1), row * P);
      }
      const { losses } = await programFor(B, P).run({ inputs, targets });
      return windows.map(({ length }, row) => losses.slice(row * P, row * P + length - 1));
    },
  };
}
