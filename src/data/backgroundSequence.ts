/**
 * The training sequence, made in a worker thread beside the training step: reading, decompressing, tokenising and
 * shuffling take nothing from the thread that trains. The worker makes a micro-batch for each one that is taken and so
 * is never more than `batchesAhead` before the step. It never loads TensorFlow.
 */
import { Worker } from 'node:worker_threads';

import { ExpectedError } from '../errors.ts';
import type { FailureKind } from '../errors.ts';
import type { TrainingBatch } from './batches.ts';
import type { Corpus } from './corpus.ts';
import type { Cursor } from './cursor.ts';
import type { SequenceOptions } from './mixture.ts';
import { renderTokenizer } from './tokenizers/tokenizerFile.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';

/** What the worker is started with. */
export interface SequenceRequest {
  readonly corpus: Corpus;
  readonly tokenizerText: string;
  readonly options: SequenceOptions;
  readonly cursor: Cursor | undefined;
}

/** A micro-batch, or why there is none; `kind` is null for a bug. */
export type WorkerAnswer =
  | { batch: TrainingBatch; failure?: undefined }
  | { failure: { kind: FailureKind | null; message: string; stack: string | undefined } };

/** Micro-batches that are made ahead of the one in use. */
const batchesAhead = 8;

/** Workers run what was compiled, also where the sources themselves are run, as by the tests. */
const workerFile = import.meta.url.endsWith('.ts')
  ? new URL('../../dist/data/sequenceWorker.js', import.meta.url)
  : new URL('./sequenceWorker.js', import.meta.url);

/**
 * What trainingSequence gives, made in a worker thread. Ending the generator ends the thread.
 * @throws as trainingSequence, when the micro-batch that could not be made is due; a bug with the worker's stack
 */
export async function* backgroundSequence(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SequenceOptions,
  cursor?: Cursor,
): AsyncGenerator<TrainingBatch, void, void> {
  const request: SequenceRequest = { corpus, tokenizerText: renderTokenizer(tokenizer), options, cursor };
  const worker = new Worker(workerFile, { workerData: request });
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
      if (answer.failure !== undefined) throw errorOf(answer.failure);
      worker.postMessage('next');
      yield answer.batch;
    }
  } finally {
    await worker.terminate();
  }
}

function errorOf({ kind, message, stack }: { kind: FailureKind | null; message: string; stack: string | undefined }): Error {
  if (kind !== null) return new ExpectedError(kind, message);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
