/** Makes the tokenizer of a run and counts the tokens of its corpus. */
import type { Config } from '../../config/schema.ts';
import { wrongInput } from '../../errors.ts';
import { noSpecialTokens, plainFormat, plainTemplate, readTemplate } from '../chat/chatFormats.ts';
import { withChatFormat } from '../chat/corpusChats.ts';
import type { Corpus, CorpusPart } from '../files/corpus.ts';
import { cachedCorpus, isCacheable } from './tokenCache.ts';
import type { CachedCorpus } from './tokenCache.ts';
import { openTokenizingWorkers } from './tokenizingWorkers.ts';
import { bytesTokenizer } from '../tokenizers/bytes.ts';
import { characterCensus, charactersTokenizer } from '../tokenizers/characters.ts';
import { readTokenizerFile, withChat } from '../tokenizers/tokenizerFile.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { trainTokenizer } from './trainTokenizer.ts';
import { countTokens } from './tokens.ts';
import { textChunks } from '../files/textChunks.ts';
import { noCounts } from '../files/utf8Chunks.ts';

export interface PreparedTokenizer extends CachedCorpus {
  readonly tokenizer: Tokenizer;
}

/** Keys of section `corpus`: the number of threads that tokenize, and the folder of the token cache or null. */
interface EncodingChoice {
  readonly workers?: number | undefined;
  readonly cache?: string | null | undefined;
}

/** Section `tokenizer` of a config, perhaps without the keys of other kinds. */
type TokenizerChoice = Pick<Config['tokenizer'], 'kind'> & Partial<Config['tokenizer']>;

/**
 * The tokenizer that the config asks for. The vocabulary of `characters` is that of the whole corpus, validation text
 * included, so that the validation loss is always defined. `bytes` reads nothing, so bad UTF-8 is only found in
 * training. `bpe` is trained on the training text alone, in a pass before the one that counts tokens. A resumed run
 * uses the tokenizer of its checkpoint and `countCorpus` instead.
 * @throws wrongInput for bad UTF-8, an unreadable file, or a text too short for the vocabulary size
 */
export async function prepareTokenizer(
  config: TokenizerChoice,
  corpus: Corpus,
  encoding: EncodingChoice = {},
): Promise<PreparedTokenizer> {
  const counted = async (plain: Tokenizer): Promise<PreparedTokenizer> => {
    const tokenizer = withChatFormatOf(config, corpus, plain);
    return { tokenizer, ...(await countCorpus(corpus, tokenizer, encoding)) };
  };
  switch (config.kind) {
    case 'bytes':
      return counted(bytesTokenizer({ endOfText: corpus.separatesDocuments === true }));
    case 'file':
      return counted(await readTokenizerFile(config.path!, config.endOfText ?? undefined));
    case 'bpe': {
      const wanted = config.vocabularySize!;
      const { tokenizer } = await trainTokenizer(withoutSpecialTokens(config, corpus), corpus.training, wanted);
      if (tokenizer.vocabularySize < wanted) {
        throw wrongInput(
          `tokenizer.vocabularySize: the training text is too short for ${wanted} tokens; it has enough pairs for ` +
            `${tokenizer.vocabularySize}. Lower the key or add text.`,
        );
      }
      return counted(tokenizer);
    }
    case 'characters': {
      const census = characterCensus();
      const endOfText = corpus.separatesDocuments === true;
      const leftOut = noCounts();
      const text = withoutSpecialTokens(config, corpus);
      const countCharacters = async (part: CorpusPart): Promise<number> => {
        let tokens = 0;
        for await (const { bytes, completion, endsDocument } of textChunks(text, part, { counts: leftOut })) {
          tokens += census.count(bytes);
          if (completion !== null) tokens += census.count(completion);
          if (endsDocument && endOfText) tokens++;
        }
        return tokens;
      };
      const sourceTokens: number[] = [];
      for (const part of corpus.training.parts ?? [corpus.training]) sourceTokens.push(await countCharacters(part));
      const validationTokens = await countCharacters(corpus.validation);
      const tokenizer = charactersTokenizer(census.characters(), { endOfText });
      if ((encoding.cache ?? null) !== null || corpus.hasChats || config.chatTemplate) return counted(tokenizer);
      return { tokenizer, corpus, trainingTokens: sumOf(sourceTokens), sourceTokens, validationTokens, leftOut };
    }
  }
}

/**
 * The tokenizer with the format of chats that the config asks for. Without a template of its own, a tokenizer of a
 * corpus of chats gets a plain one.
 *
 * @throws wrongInput if the template cannot be read
 */
export function withChatFormatOf(
  { chatTemplate }: Pick<TokenizerChoice, 'chatTemplate'>,
  { hasChats }: Pick<Corpus, 'hasChats'>,
  tokenizer: Tokenizer,
): Tokenizer {
  const standard = tokenizer.chat ?? plainFormat(tokenizer);
  if (chatTemplate) return withChat(tokenizer, { ...standard, template: readTemplate(chatTemplate) });
  return hasChats && tokenizer.chat === null ? withChat(tokenizer, standard) : tokenizer;
}

/** A corpus to make a vocabulary from: the special tokens that a chat template writes are not part of the text. */
export function withoutSpecialTokens({ chatTemplate }: Pick<TokenizerChoice, 'chatTemplate'>, corpus: Corpus): Corpus {
  const template = chatTemplate ? readTemplate(chatTemplate) : plainTemplate;
  return withChatFormat(corpus, { template, specialTokens: noSpecialTokens });
}

/**
 * The number of tokens in a corpus, and the corpus to read them from. With a token cache, missing files of it are
 * written now.
 * @throws wrongInput for text that cannot be read or tokenized; environmentFailure if the cache cannot be written
 */
export async function countCorpus(
  opened: Corpus,
  tokenizer: Tokenizer,
  { workers: count = 1, cache = null }: EncodingChoice,
): Promise<CachedCorpus> {
  const corpus = withChatFormat(opened, tokenizer.chat);
  const workers = count > 1 ? openTokenizingWorkers(tokenizer, count) : undefined;
  try {
    if (cache !== null && isCacheable(corpus)) return await cachedCorpus(corpus, tokenizer, cache, { workers });
    const sourceTokens: number[] = [];
    const leftOut = noCounts();
    const options = { workers, counts: leftOut };
    for (const part of corpus.training.parts ?? [corpus.training])
      sourceTokens.push(await countTokens(corpus, part, tokenizer, options));
    return {
      corpus,
      trainingTokens: sumOf(sourceTokens),
      sourceTokens,
      validationTokens: await countTokens(corpus, corpus.validation, tokenizer, options),
      leftOut,
    };
  } finally {
    await workers?.close();
  }
}

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
