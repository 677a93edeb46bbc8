/**
 * Worker threads that tokenize pieces of text, each with its own copy of the tokenizer. The caller keeps the answers in
 * the order of the text, so that the tokens do not depend on the number of threads. They never load TensorFlow.
 */
import { Worker } from 'node:worker_threads';

import { renderTokenizer } from '../tokenizers/tokenizerFile.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { errorOf, workerFile } from '../workerThreads.ts';
import type { WorkerFailure } from '../workerThreads.ts';

/** Pieces of well-formed text that can be tokenized separately. */
export interface PiecesOfText {
  /** The pieces, end to end. */
  readonly utf8: Uint8Array;
  /** Where each piece ends in `utf8`. */
  readonly ends: Uint32Array;
  /** 1 for each piece that starts a document. */
  readonly startsText: Uint8Array;
  /** 1 for each piece that is a rendered chat. */
  readonly isChat: Uint8Array;
}

/** The ids of the pieces, end to end. */
export interface EncodedPieces {
  readonly tokenIds: Int32Array;
  /** Where the ids of each piece end. */
  readonly ends: Uint32Array;
}

/** The ids; or that the tokenizer refuses a piece as wrong input; or a bug. */
export type EncodingAnswer = EncodedPieces | { refused: true } | { failure: WorkerFailure };

export interface TokenizingWorkers {
  readonly count: number;
  /**
   * The ids of the pieces; null if the tokenizer refuses one of them. Threads take turns.
   * @throws the worker's bug, with its stack
   */
  encode(pieces: PiecesOfText): Promise<EncodedPieces | null>;
  close(): Promise<void>;
}

/** Starts the threads, which keep the process alive until `close`. */
export function openTokenizingWorkers(tokenizer: Tokenizer, count: number): TokenizingWorkers {
  const tokenizerText = renderTokenizer(tokenizer);
  const threads = Array.from({ length: count }, () => openThread(tokenizerText));
  let asked = 0;
  return {
    count,
    encode: (pieces) => threads[asked++ % count]!.encode(pieces),
    close: async () => void (await Promise.all(threads.map(({ worker }) => worker.terminate()))),
  };
}

interface Waiting {
  resolve(encoded: EncodedPieces | null): void;
  reject(error: Error): void;
}

function openThread(tokenizerText: string): { worker: Worker; encode: TokenizingWorkers['encode'] } {
  const worker = new Worker(workerFile('tokens/tokenizingWorker'), { workerData: tokenizerText });
  const waiting: Waiting[] = []; // a thread answers in the order of its requests
  let ended: Error | undefined;
  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  worker.on('message', (answer: EncodingAnswer) => {
    const { resolve, reject } = waiting.shift()!;
    if ('failure' in answer) reject(errorOf(answer.failure));
    else resolve('refused' in answer ? null : answer);
  });
  worker.on('error', end);
  worker.on('exit', (code) => end(new Error(`a tokenizing worker ended with code ${code}`)));
  return {
    worker,
    encode: (pieces) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended);
        waiting.push({ resolve, reject });
        worker.postMessage(pieces);
      }),
  };
}
