/**
 * The training sequence, produced in a worker thread so that reading, decompressing, tokenizing and shuffling do not
 * delay the training step. The worker is at most `batchesAhead` micro-batches ahead. It never loads TensorFlow.
 */
import { Worker } from 'node:worker_threads';

import type { TrainingBatch } from './batches.ts';
import type { Corpus } from '../files/corpus.ts';
import type { Cursor } from './cursor.ts';
import type { SequenceOptions } from './mixture.ts';
import { renderTokenizer } from '../tokenizers/tokenizerFile.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { errorOf, workerFile } from '../workerThreads.ts';
import type { WorkerFailure } from '../workerThreads.ts';

/** The data that the worker is started with. */
export interface SequenceRequest {
  readonly corpus: Corpus;
  readonly tokenizerText: string;
  readonly options: Omit<SequenceOptions, 'workers' | 'onWarning'>;
  readonly tokenizingWorkers: number;
  readonly cursor: Cursor | undefined;
}

/** The next micro-batch, or a warning that comes before it, or why there is none. */
export type WorkerAnswer = { batch: TrainingBatch } | { warning: string } | { failure: WorkerFailure };

/** Micro-batches that are produced ahead of the one in use. */
const batchesAhead = 8;

interface BackgroundOptions extends Omit<SequenceOptions, 'workers'> {
  /** Threads that tokenize; 1: the worker itself. */
  readonly tokenizingWorkers?: number | undefined;
}

/**
 * The micro-batches of trainingSequence, from a worker thread. Ending the generator ends its threads.
 * @throws as trainingSequence, in place of the micro-batch that failed; a bug has the worker's stack
 */
export async function* backgroundSequence(
  corpus: Corpus,
  tokenizer: Tokenizer,
  { tokenizingWorkers = 1, onWarning, ...options }: BackgroundOptions,
  cursor?: Cursor,
): AsyncGenerator<TrainingBatch, void, void> {
  const request: SequenceRequest = {
    corpus,
    tokenizerText: renderTokenizer(tokenizer),
    options,
    tokenizingWorkers,
    cursor,
  };
  const worker = new Worker(workerFile('windows/sequenceWorker'), { workerData: request });
  const answers: WorkerAnswer[] = [];
  let wake = (): void => {};
  const arrive = (answer: WorkerAnswer): void => {
    answers.push(answer);
    wake();
  };
  const fail = (message: string, stack?: string): void => arrive({ failure: { kind: null, message, stack } });
  worker.on('message', arrive);
  worker.on('error', (error: Error) => fail(error.message, error.stack));
  worker.on('exit', (code) => fail(`the worker thread that reads the corpus ended with code ${code}`));
  for (let i = 0; i < batchesAhead; i++) worker.postMessage('next');
  try {
    for (;;) {
      while (answers.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const answer = answers.shift()!;
      if ('failure' in answer) throw errorOf(answer.failure);
      if ('warning' in answer) {
        onWarning?.(answer.warning);
        continue;
      }
      worker.postMessage('next');
      yield answer.batch;
    }
  } finally {
    await worker.terminate();
  }
}
