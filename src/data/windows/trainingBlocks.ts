/** The blocks of all epochs, one after the other without end, the next being read while one is in use. */
import { wrongInput } from '../../errors.ts';
import type { Corpus, ReadableCorpus } from '../files/corpus.ts';
import type { Cursor } from './cursor.ts';
import { documentBlocks } from './documentBlocks.ts';
import type { EncodeOptions } from '../tokens/encodedText.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
import { epochBlocks } from './windows.ts';
import type { Block } from './windows.ts';

interface EpochBlock extends Block {
  readonly epoch: number;
}

export interface BlockSequenceOptions {
  readonly seed: number;
  readonly contextLength: number;
  readonly shuffleTokens: number;
  /** Stands between the reading and the cutting, where tokens are to be followed; see origins.ts. */
  readonly numbered?: ((chunks: AsyncIterable<TokenChunk>) => AsyncIterable<TokenChunk>) | undefined;
}

/**
 * Endless, from the block in which `cursor` stands on, to be read whole. Reads nothing that is not asked for.
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
    // Every token of running text stands for at least one byte; documents may hide more text than their bytes show.
    const isBounded =
      corpus.separatesDocuments !== true && (corpus.encodingErrors ?? 'error') === 'error' && tokenizer.kind !== 'bpe';
    const mostTokens = isBounded ? part.endByte - startByte : Infinity;
    const blocks =
      corpus.packing === 'documents'
        ? documentBlocks(chunks, tokenizer, { ...options, firstBlock, insideDocument })
        : epochBlocks(chunks, tokenizer, { ...options, epoch, firstBlock, mostTokens });
    let isEmpty = true;
    for await (const block of blocks) {
      isEmpty = false;
      // What stands before the first document (a header, documents of the other side) belongs to block 0.
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
    'No token of the training text counts towards the loss: its completions are empty, or its documents are single ' +
      'tokens. Check prompt and completion in corpus.sources.',
  );

/**
 * The same values, but the next one is already being made while one is in use: two exist at a time. An error is
 * thrown where its value would have come.
 * @param stop is called when the consumer is done; makes the source give up what it is making.
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
      coming.catch(() => {}); // handled when it is awaited, perhaps much later or never
      yield result.value;
    }
  } finally {
    stop();
    await source.return();
  }
}
