/** Makes the tokenizer of a run and counts its tokens, in one pass over the corpus at most. Row 5 of the walk. */
import type { Config } from '../config/schema.ts';
import type { Corpus, CorpusPart } from './corpus.ts';
import { bytesTokenizer } from './tokenizers/bytes.ts';
import { characterCensus, charactersTokenizer } from './tokenizers/characters.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';
import { countTokens } from './tokens.ts';
import { textChunks } from './textChunks.ts';

export interface PreparedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly trainingTokens: number;
  readonly validationTokens: number;
}

/**
 * The tokenizer that the config asks for. The vocabulary of `characters` is that of the whole corpus, validation text
 * included, so that the validation loss is always defined. `bytes` reads nothing: bad UTF-8 is then met in training.
 * A run that is resumed takes the tokenizer of its checkpoint instead, and `countTokens`.
 * @throws wrongInput for bad UTF-8 or an unreadable file.
 */
export async function prepareTokenizer(config: Config['tokenizer'], corpus: Corpus): Promise<PreparedTokenizer> {
  switch (config.kind) {
    case 'bytes': {
      const tokenizer = bytesTokenizer({ endOfText: corpus.separatesDocuments === true });
      return {
        tokenizer,
        trainingTokens: await countTokens(corpus, corpus.training, tokenizer),
        validationTokens: await countTokens(corpus, corpus.validation, tokenizer),
      };
    }
    case 'characters': {
      const census = characterCensus();
      const endOfText = corpus.separatesDocuments === true;
      const countCharacters = async (part: CorpusPart): Promise<number> => {
        let tokens = 0;
        for await (const { bytes, completion, endsDocument } of textChunks(corpus, part)) {
          tokens += census.count(bytes);
          if (completion !== null) tokens += census.count(completion);
          if (endsDocument && endOfText) tokens++;
        }
        return tokens;
      };
      const trainingTokens = await countCharacters(corpus.training);
      const validationTokens = await countCharacters(corpus.validation);
      return { tokenizer: charactersTokenizer(census.characters(), { endOfText }), trainingTokens, validationTokens };
    }
  }
}
