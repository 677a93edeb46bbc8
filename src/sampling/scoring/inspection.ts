/**
 * Runs one text through the model and shows everything: tokens, shifted targets, the probability of the target at every
 * position, and that the mean of the losses is the loss that training minimises.
 *
 * n tokens · V vocabulary size
 */
import { div } from '../../tfjs.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../../errors.ts';
import { hiddenStates, logitsOf, outputHead } from '../../model/decoder.ts';
import { summedLoss } from '../../model/loss.ts';
import { vocabularyRows, type ModelConfig, type ParameterSpec } from '../../model/parameters.ts';
import { sparseCrossEntropy } from '../../ops/crossEntropy.ts';
import type { Session } from '../../runtime/session.ts';
import { likeliestTokens, tokenTexts, type Alternative } from '../tokenTexts.ts';

export interface Inspection {
  tokenIds: number[];
  /** The text of each token. */
  texts: string[];
  /** Byte offset of each token in the UTF-8 of the text. */
  startBytes: number[];
  /** (n − 1) the token after each input: tokenIds shifted by one. */
  targetIds: number[];
  /** (n − 1) −ln p of each target, nats. */
  losses: number[];
  /** (n − 1) */
  probabilities: number[];
  /** (n − 1) rank of the target among all tokens; 1 is the likeliest. */
  ranks: number[];
  /** Mean of `losses`. */
  loss: number;
  /** Of a chat: (n − 1) whether each target counts towards the loss. */
  learnt?: boolean[];
  /** Of a chat: mean of the losses that count; null if none does. */
  learntLoss?: number | null;
  /** The same mean as training computes it, in float32. */
  modelLoss: number;
  /** ln V: the loss if all tokens were equally likely. */
  uniformLoss: number;
  /** V, with padding. */
  vocabularySize: number;
  contextLength: number;
  /** (n) the likeliest next tokens after each position, also after the last one. */
  alternatives: Alternative[][];
}

/**
 * @param tokenIds of the text
 * @param top number of alternatives listed at each position
 * @param lossMask of a chat: whether each token counts towards the loss
 * @throws wrong input if the text has fewer than two tokens, or more than the context length
 */
export async function inspectTokens(
  loaded: { session: Session; model: ModelConfig; table: readonly ParameterSpec[]; tokenizer: Tokenizer },
  tokenIds: number[],
  top: number,
  lossMask?: readonly boolean[],
): Promise<Inspection> {
  const { session, model, table, tokenizer } = loaded;
  const n = tokenIds.length;
  if (n < 2)
    throw wrongInput(`the text has ${n === 0 ? 'no token' : 'one token'}; a prediction and its target need two`);
  if (n > model.contextLength) {
    throw wrongInput(`the text has ${n} tokens, more than the context length of ${model.contextLength}; shorten it`);
  }
  const inputs = {
    inputs: { shape: [n], dtype: 'int32' },
    targets: { shape: [n], dtype: 'int32' },
    weights: { shape: [n], dtype: 'float32' },
  } as const;
  const program = session.program('inspection', inputs, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    const hidden = hiddenStates(parameters, feeds.inputs, { model, batchSize: 1, length: n, dropout: null });
    const logits = logitsOf(parameters, hidden, model);
    const options = { isTrained: false, softCap: model.logitSoftCap };
    const sum = summedLoss(hidden, outputHead(parameters), feeds.targets, feeds.weights, options);
    return { logits, losses: sparseCrossEntropy(logits, feeds.targets), loss: div(sum, n - 1) };
  });
  const targetIds = tokenIds.slice(1);
  const weights = new Float32Array(n).fill(1, 0, n - 1); // the token after the last one is unknown
  const result = await program.run({
    inputs: Int32Array.from(tokenIds),
    targets: Int32Array.from([...targetIds, 0]),
    weights,
  });
  const V = vocabularyRows(model, tokenizer.vocabularySize);
  const rows = Array.from({ length: n }, (_, t) => result.logits.subarray(t * V, (t + 1) * V));
  const losses = Array.from(result.losses.subarray(0, n - 1));
  let startByte = 0;
  return {
    tokenIds,
    texts: tokenTexts(tokenizer, tokenIds),
    startBytes: tokenIds.map(
      (tokenId) => (startByte += tokenizer.byteLengths[tokenId]!) - tokenizer.byteLengths[tokenId]!,
    ),
    targetIds,
    losses,
    probabilities: losses.map((loss) => Math.exp(-loss)),
    ranks: targetIds.map(
      (target, t) => 1 + rows[t]!.reduce((likelier, logit) => likelier + Number(logit > rows[t]![target]!), 0),
    ),
    loss: meanOf(losses)!,
    ...(lossMask && { learnt: lossMask.slice(1), learntLoss: meanOf(losses.filter((_, t) => lossMask[t + 1])) }),
    modelLoss: result.loss[0]!,
    uniformLoss: Math.log(V),
    vocabularySize: V,
    contextLength: model.contextLength,
    alternatives: rows.map((logits) => likeliestTokens(logits, top, tokenizer)),
  };
}

const meanOf = (losses: readonly number[]): number | null =>
  losses.length === 0 ? null : losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
