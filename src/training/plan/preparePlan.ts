/** From a config to its plan: the corpus is opened, the tokenizer prepared, and the text counted. */
import path from 'node:path';
import type { Config } from '../../config/schema.ts';
import type { Corpus } from '../../data/files/corpus.ts';
import { openCorpus } from '../../data/files/openCorpus.ts';
import type { ReadCounts } from '../../data/files/utf8Chunks.ts';
import {
  countCorpus,
  prepareTokenizer,
  withChatFormatOf,
  type PreparedTokenizer,
} from '../../data/tokens/prepareTokenizer.ts';
import { tokenizerFromFile } from '../../data/tokenizers/tokenizerFile.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { supplyOptions, trainingSupply, type TrainingSupply } from '../../data/windows/trainingSupply.ts';
import { resolveCheckpoint } from '../../run/findCheckpoint.ts';
import { readBounded } from '../../storage/boundedFile.ts';
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
  const text = await countText(config, await openCorpus(config.corpus), await startTokenizer(config));
  const { tokenizer, trainingTokens, supply } = text;
  return {
    config,
    ...text,
    plan: planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens, supply }),
  };
}

/** Tokenizer and counted corpus of a fresh run of this config. */
export const prepareText = async (config: Config): Promise<PreparedTokenizer> =>
  countedTokens(config, await openCorpus(config.corpus), await startTokenizer(config));

/** The tokenizer of the run in `start.from`; undefined without one. @throws wrong input if there is no such run */
async function startTokenizer({ start }: Config): Promise<Tokenizer | undefined> {
  if (start.from === null) return undefined;
  const file = path.join(await resolveCheckpoint(start.from, 'last'), 'tokenizer.json');
  return tokenizerFromFile(readBounded(file).toString('utf8'), file);
}

/** @param given the tokenizer of a checkpoint; without one, the tokenizer that the config asks for is prepared */
export async function countText(config: Config, opened: Corpus, given?: Tokenizer): Promise<CountedText> {
  const { sourceTokens, ...text } = await countedTokens(config, opened, given);
  return { ...text, supply: await trainingSupply(text.corpus, text.tokenizer, supplyOptions(config), sourceTokens) };
}

/** The tokenizer of a checkpoint may get another chat template. */
async function countedTokens(config: Config, opened: Corpus, given?: Tokenizer): Promise<PreparedTokenizer> {
  if (given === undefined) return prepareTokenizer(config.tokenizer, opened, config.corpus);
  const tokenizer = withChatFormatOf(config.tokenizer, opened, given);
  return { tokenizer, ...(await countCorpus(opened, tokenizer, config.corpus)) };
}
