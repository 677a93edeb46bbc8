/** The blocks of all epochs, endlessly; the next block is read while one is in use. */
import { wrongInput } from '../../errors.ts';
import type { Corpus, ReadableCorpus } from '../files/corpus.ts';
import type { Cursor } from './cursor.ts';
import { documentBlocks } from './documentBlocks.ts';
import type { EncodeOptions } from '../tokens/encodedText.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
import { preferenceBlocks } from './preferenceBlocks.ts';
import { epochBlocks } from './windows.ts';
import type { Block } from './windows.ts';

interface EpochBlock extends Block {
  readonly epoch: number;
}

export interface BlockSequenceOptions {
  readonly seed: number;
  readonly contextLength: number;
  readonly shuffleTokens: number;
  /** Changes the tokens before they are cut into windows; see origins.ts. */
  readonly numbered?: ((chunks: AsyncIterable<TokenChunk>) => AsyncIterable<TokenChunk>) | undefined;
}

/**
 * Endless, starting with the whole block that `cursor` is in. Reads only what is asked for.
 * @throws wrongInput for a corpus without a block
 */
export async function* trainingBlocks(
  corpus: ReadableCorpus & Pick<Corpus, 'training' | 'packing'>,
  tokenizer: Tokenizer,
  options: BlockSequenceOptions,
  cursor: Cursor,
  readOptions: EncodeOptions,
): AsyncGenerator<EpochBlock, void, void> {
  let { startByte, skipTokens, block: firstBlock, insideDocument = false } = cursor;
  const isStopped = (): boolean => readOptions.signal?.aborted === true;
  for (let epoch = cursor.epoch; !isStopped(); epoch++) {
    const part = { ...corpus.training, startByte, skipTokens };
    const read = tokenChunks(corpus, part, tokenizer, readOptions);
    const chunks = options.numbered?.(read) ?? read;
    // A token of running text is at least one byte. No such bound holds for documents, e.g. in Parquet rows.
    const isBounded =
      corpus.separatesDocuments !== true && (corpus.encodingErrors ?? 'error') === 'error' && tokenizer.kind !== 'bpe';
    const maximumTokens = isBounded ? part.endByte - startByte : Infinity;
    const blocks =
      corpus.packing === 'preferences'
        ? preferenceBlocks(chunks, { ...options, firstBlock })
        : corpus.packing === 'documents'
          ? documentBlocks(chunks, tokenizer, { ...options, firstBlock, insideDocument })
          : epochBlocks(chunks, tokenizer, { ...options, epoch, firstBlock, maximumTokens });
    let isEmpty = true;
    for await (const block of blocks) {
      isEmpty = false;
      // Block 0 includes what comes before the first document: a header, documents of the other part.
      yield block.index === 0
        ? { ...block, epoch, startByte: corpus.training.startByte, skipTokens: undefined }
        : { ...block, epoch };
    }
    if (isEmpty && firstBlock === 0 && !isStopped()) throw noLossTokens();
    startByte = corpus.training.startByte;
    skipTokens = undefined;
    insideDocument = false;
    firstBlock = 0;
  }
}

/** The error for a corpus in which no token counts towards the loss. */
export const noLossTokens = (): Error =>
  wrongInput(
    'No token of the training text counts towards the loss: its completions are empty, its chats have no turn with ' +
      'the role assistant or their template marks none, or its documents are single tokens. Check prompt and ' +
      'completion, or messages and lossOn, in corpus.sources.',
  );

/**
 * The same values, with the next one already being produced while one is in use, so two exist at a time. An error is
 * thrown in place of its value.
 * @param stop called when the consumer is done, to make the source abandon the value it is producing
 */
export async function* readAhead<Value>(
  source: AsyncGenerator<Value, void, void>,
  stop: () => void,
): AsyncGenerator<Value, void, void> {
  try {
    let coming = source.next();
    for (;;) {
      const result = await coming;
      if (result.done === true) return;
      coming = source.next();
      coming.catch(() => {}); // handled when it is awaited, perhaps never
      yield result.value;
    }
  } finally {
    stop();
    await source.return();
  }
}
