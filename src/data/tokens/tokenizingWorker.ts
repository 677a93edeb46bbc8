/** The worker thread of tokenizingWorkers.ts: tokenizes the pieces of text that it is sent. */
import { parentPort, workerData } from 'node:worker_threads';

import { ExpectedError } from '../../errors.ts';
import type { EncodedPieces, EncodingAnswer, PiecesOfText } from './tokenizingWorkers.ts';
import { tokenizerFromFile } from '../tokenizers/tokenizerFile.ts';
import { failureOf } from '../workerThreads.ts';

const tokenizer = tokenizerFromFile(workerData as string, 'the tokenizer of the run');
const origin = { location: (index: number) => `at byte ${index}`, remedy: '' };
const port = parentPort!;

function encoded({ utf8, ends, startsText, isChat }: PiecesOfText): EncodedPieces {
  let start = 0;
  const pieces = Array.from(ends, (end, i) => {
    const piece = utf8.subarray(start, end);
    start = end;
    const part = { startsText: startsText[i] === 1, endsText: true, isChat: isChat[i] === 1 };
    return tokenizer.encodeChunk(piece, part, origin).tokenIds;
  });
  const tokenIds = new Int32Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let tokens = 0;
  const endsOfIds = Uint32Array.from(pieces, (ids) => {
    tokenIds.set(ids, tokens);
    return (tokens += ids.length);
  });
  return { tokenIds, ends: endsOfIds };
}

port.on('message', (pieces: PiecesOfText) => {
  try {
    const answer = encoded(pieces);
    port.postMessage(answer satisfies EncodingAnswer, [answer.tokenIds.buffer as ArrayBuffer]);
  } catch (error) {
    // Only the thread that sent the piece can name the location in the corpus.
    const answer: EncodingAnswer = error instanceof ExpectedError ? { refused: true } : { failure: failureOf(error) };
    port.postMessage(answer);
  }
});
