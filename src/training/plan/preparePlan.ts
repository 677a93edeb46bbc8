/** From a config to its plan: the corpus is opened, the tokenizer prepared, and the text counted. */
import type { Config } from '../../config/schema.ts';
import type { Corpus } from '../../data/files/corpus.ts';
import { openCorpus } from '../../data/files/openCorpus.ts';
import type { ReadCounts } from '../../data/files/utf8Chunks.ts';
import { countCorpus, prepareTokenizer, withChatFormatOf } from '../../data/tokens/prepareTokenizer.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { supplyOptions, trainingSupply, type TrainingSupply } from '../../data/windows/trainingSupply.ts';
import { planRun, type RunPlan } from './plan.ts';

/** A corpus that has been counted with a tokenizer. */
export interface CountedText {
  /** Reads from the token cache if there is one. */
  corpus: Corpus;
  tokenizer: Tokenizer;
  trainingTokens: number;
  validationTokens: number;
  supply: TrainingSupply;
  /** What was repaired or left out. */
  leftOut: ReadCounts;
}

export interface PreparedPlan extends CountedText {
  config: Config;
  plan: RunPlan;
}

/** The plan of a fresh run of this config. @throws wrong input as `openCorpus`, `prepareTokenizer` and `planRun` */
export async function preparePlan(config: Config): Promise<PreparedPlan> {
  const text = await countText(config, await openCorpus(config.corpus));
  const { tokenizer, trainingTokens, supply } = text;
  return {
    config,
    ...text,
    plan: planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens, supply }),
  };
}

/** @param given the tokenizer of a checkpoint; without one, the tokenizer that the config asks for is prepared */
export async function countText(config: Config, opened: Corpus, given?: Tokenizer): Promise<CountedText> {
  const { tokenizer, corpus, sourceTokens, trainingTokens, validationTokens, leftOut } = given
    ? await withTokenizer(config, opened, given)
    : await prepareTokenizer(config.tokenizer, opened, config.corpus);
  const supply = await trainingSupply(corpus, tokenizer, supplyOptions(config), sourceTokens);
  return { tokenizer, corpus, trainingTokens, validationTokens, supply, leftOut };
}

/** The corpus counted with the tokenizer of a checkpoint, which may get another chat template. */
async function withTokenizer(config: Config, opened: Corpus, given: Tokenizer) {
  const tokenizer = withChatFormatOf(config.tokenizer, opened, given);
  return { tokenizer, ...(await countCorpus(opened, tokenizer, config.corpus)) };
}
