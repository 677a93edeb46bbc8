/**
 * One text through the model with everything visible: tokens, inputs and shifted targets, what the model gives the
 * target at every position, and that the mean of those losses is the loss that training minimises.
 *
 * n tokens · V vocabulary size
 */
import { div } from '@tensorflow/tfjs-core';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../../errors.ts';
import { hiddenStates, logitsOf, outputHead } from '../../model/decoder.ts';
import { summedLoss } from '../../model/loss.ts';
import { vocabularyRows, type ModelConfig, type ParameterSpec } from '../../model/parameters.ts';
import { sparseCrossEntropy } from '../../ops/operations.ts';
import type { Session } from '../../runtime/session.ts';
import { alternatives, type Alternative } from '../sampler.ts';

export interface Inspection {
  tokenIds: number[];
  /** What each token stands for. */
  texts: string[];
  /** Where each token begins in the UTF-8 of the text. */
  startBytes: number[];
  /** (n − 1) the token that follows each input: tokenIds, shifted by one. */
  targetIds: number[];
  /** (n − 1) −ln p of each target, nats. */
  losses: number[];
  /** (n − 1) */
  probabilities: number[];
  /** (n − 1) 1 where the target is the likeliest token. */
  ranks: number[];
  /** Mean of `losses`. */
  loss: number;
  /** The loss of the same text as training computes it, in one number (float32). */
  modelLoss: number;
  /** ln V: the loss of a model that finds every token equally likely. */
  uniformLoss: number;
  /** V, padding included. */
  vocabularySize: number;
  contextLength: number;
  /** (n) the likeliest tokens after each position, the last included. */
  alternatives: (Alternative & { text: string })[][];
}

/**
 * @param top how many alternatives are listed at each position
 * @throws wrong input where the text has less than two tokens, or more than the context length
 */
export async function inspectText(
  {
    session,
    model,
    table,
    tokenizer,
  }: { session: Session; model: ModelConfig; table: readonly ParameterSpec[]; tokenizer: Tokenizer },
  text: string,
  top: number,
): Promise<Inspection> {
  const tokenIds = Array.from(tokenizer.encode(text));
  const n = tokenIds.length;
  if (n < 2)
    throw wrongInput(`The text has ${n === 0 ? 'no token' : 'one token'}; a prediction and its target need two.`);
  if (n > model.contextLength) {
    throw wrongInput(
      `The text has ${n} tokens, more than the context length of ${model.contextLength}: the model never sees it at once. Shorten it.`,
    );
  }
  const inputs = {
    inputs: { shape: [n], dtype: 'int32' },
    targets: { shape: [n], dtype: 'int32' },
    weights: { shape: [n], dtype: 'float32' },
  } as const;
  const program = session.program('inspection', inputs, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
    const hidden = hiddenStates(parameters, feeds['inputs']!, { model, batchSize: 1, length: n, dropout: null });
    const logits = logitsOf(parameters, hidden);
    const sum = summedLoss(hidden, outputHead(parameters), feeds['targets']!, feeds['weights']!, { isTrained: false });
    return { logits, losses: sparseCrossEntropy(logits, feeds['targets']!), loss: div(sum, n - 1) };
  });
  const targetIds = tokenIds.slice(1);
  const weights = new Float32Array(n).fill(1, 0, n - 1); // what follows the last token is not known
  const result = await program.run({
    inputs: Int32Array.from(tokenIds),
    targets: Int32Array.from([...targetIds, 0]),
    weights,
  });
  const V = vocabularyRows(model, tokenizer.vocabularySize);
  const rows = Array.from({ length: n }, (_, t) => result['logits']!.subarray(t * V, (t + 1) * V));
  const losses = Array.from(result['losses']!.subarray(0, n - 1));
  const textOf = (tokenId: number): string => tokenizer.decode([tokenId], { specialTokens: true, continuesText: true });
  let startByte = 0;
  return {
    tokenIds,
    texts: tokenIds.map(textOf),
    startBytes: tokenIds.map(
      (tokenId) => (startByte += tokenizer.byteLengths[tokenId]!) - tokenizer.byteLengths[tokenId]!,
    ),
    targetIds,
    losses,
    probabilities: losses.map((loss) => Math.exp(-loss)),
    ranks: targetIds.map(
      (target, t) => 1 + rows[t]!.reduce((likelier, logit) => likelier + Number(logit > rows[t]![target]!), 0),
    ),
    loss: losses.reduce((sum, loss) => sum + loss, 0) / (n - 1),
    modelLoss: result['loss']![0]!,
    uniformLoss: Math.log(V),
    vocabularySize: V,
    contextLength: model.contextLength,
    alternatives: rows.map((logits) =>
      alternatives(logits, top, tokenizer.vocabularySize).map((each) => ({ ...each, text: textOf(each.tokenId) })),
    ),
  };
}
