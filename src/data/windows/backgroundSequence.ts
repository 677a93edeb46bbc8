/**
 * The training sequence, made in a worker thread beside the training step: reading, decompressing, tokenising and
 * shuffling take nothing from the thread that trains. The worker makes a micro-batch for each one that is taken and so
 * is never more than `batchesAhead` before the step. It never loads TensorFlow.
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

/** What the worker is started with. */
export interface SequenceRequest {
  readonly corpus: Corpus;
  readonly tokenizerText: string;
  readonly options: Omit<SequenceOptions, 'workers' | 'onWarning'>;
  readonly tokenizingWorkers: number;
  readonly cursor: Cursor | undefined;
}

/** The next micro-batch, or a warning that comes before it, or why there is none. */
export type WorkerAnswer = { batch: TrainingBatch } | { warning: string } | { failure: WorkerFailure };

/** Micro-batches that are made ahead of the one in use. */
const batchesAhead = 8;

/** A sequence that is made in the background. */
interface BackgroundOptions extends Omit<SequenceOptions, 'workers'> {
  /** Threads that turn text into tokens; 1: the one that makes the sequence. */
  readonly tokenizingWorkers?: number | undefined;
}

/**
 * What trainingSequence gives, made in a worker thread, which may have others to encode for it. Ending the generator
 * ends the threads.
 * @throws as trainingSequence, when the micro-batch that could not be made is due; a bug with the worker's stack
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
  worker.on('exit', (code) => fail(`the worker that reads the corpus ended with code ${code}`));
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
