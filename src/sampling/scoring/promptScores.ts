/**
 * How likely a model finds each token of a prompt, and which tokens it finds likelier there.
 *
 * P padded length of the prompt · C width · R rows of a chunk · V vocabulary size
 */
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { storedParameters } from '../../model/decoderPass.ts';
import { hiddenStates, logitsOf } from '../../model/decoder.ts';
import { vocabularyRows, type ModelConfig, type ParameterSpec } from '../../model/parameters.ts';
import type { Session } from '../../runtime/session.ts';
import { paddedLength, recordedOnce } from '../recordedSizes.ts';
import { logProbability } from '../sampler.ts';
import { likeliestTokens, type Alternative } from '../tokenTexts.ts';

/** Of each token but the first, which nothing precedes. */
export interface PromptScores {
  /** ln p */
  logProbabilities: number[];
  /** The likeliest tokens at its position. */
  alternatives: Alternative[][];
}

const shortestPass = 16;

/** Logits that are in memory at once: 32 MB. */
const logitsAtATime = 8e6;

/**
 * @returns scores 1 … contextLength tokens, with so many alternatives; programs are recorded when first needed
 */
export function openPromptScores(
  session: Session,
  model: ModelConfig,
  table: readonly ParameterSpec[],
  tokenizer: Tokenizer,
): (tokenIds: readonly number[], alternatives: number) => Promise<PromptScores> {
  const { width: C } = model;
  const V = vocabularyRows(model, tokenizer.vocabularySize);
  const hiddenProgram = recordedOnce((P: number) =>
    session.program(`hidden${P}`, { inputs: { shape: [P], dtype: 'int32' } }, ({ inputs }, variables) => {
      const pass = { model, batchSize: 1, length: P, dropout: null };
      return { hidden: hiddenStates(storedParameters(table, variables), inputs, pass) };
    }),
  );
  const logitsProgram = recordedOnce((R: number) =>
    session.program(`logits${R}`, { hidden: { shape: [R, C], dtype: 'float32' } }, ({ hidden }, variables) => ({
      logits: logitsOf(storedParameters(table, variables), hidden, model),
    })),
  );
  return async (tokenIds, count) => {
    const P = paddedLength(tokenIds.length, model.contextLength, shortestPass);
    const inputs = new Int32Array(P); // the padding follows the tokens, so the causal mask hides it from them
    inputs.set(tokenIds);
    const { hidden } = await hiddenProgram(P).run({ inputs });
    const R = Math.max(1, Math.min(P, Math.floor(logitsAtATime / V)));
    const scores: PromptScores = { logProbabilities: [], alternatives: [] };
    for (let from = 0; from < tokenIds.length - 1; from += R) {
      const rows = new Float32Array(R * C);
      rows.set(hidden.subarray(from * C, Math.min(from + R, P) * C));
      const { logits } = await logitsProgram(R).run({ hidden: rows });
      const width = logits.length / R;
      for (let t = from; t < Math.min(from + R, tokenIds.length - 1); t++) {
        const row = logits.subarray((t - from) * width, (t - from + 1) * width);
        scores.logProbabilities.push(logProbability(row, tokenIds[t + 1]!));
        scores.alternatives.push(likeliestTokens(row, count, tokenizer));
      }
    }
    return scores;
  };
}
