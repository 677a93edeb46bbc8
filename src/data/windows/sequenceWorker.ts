/** The worker thread of backgroundSequence.ts: sends the next micro-batch of the training sequence for each request. */
import { parentPort, workerData } from 'node:worker_threads';

import type { SequenceRequest, WorkerAnswer } from './backgroundSequence.ts';
import { trainingSequence } from './mixture.ts';
import { openTokenizingWorkers } from '../tokens/tokenizingWorkers.ts';
import { tokenizerFromFile } from '../tokenizers/tokenizerFile.ts';
import { failureOf } from '../workerThreads.ts';

const { corpus, tokenizerText, options, tokenizingWorkers, cursor } = workerData as SequenceRequest;
const port = parentPort!;

const onWarning = (warning: string): void => port.postMessage({ warning } satisfies WorkerAnswer);

async function answer(batches: ReturnType<typeof trainingSequence>): Promise<void> {
  try {
    const next = await batches.next();
    if (next.done === true) throw new Error('the training sequence ended');
    const batch = next.value;
    const { inputs, targets, lossMask, positions } = batch;
    const moved = [inputs, targets, lossMask, ...(positions ? [positions] : [])].map(
      ({ buffer }) => buffer as ArrayBuffer,
    );
    port.postMessage({ batch } satisfies WorkerAnswer, moved);
  } catch (error) {
    port.postMessage({ failure: failureOf(error) } satisfies WorkerAnswer);
  }
}

const tokenizer = tokenizerFromFile(tokenizerText, 'the tokenizer of the run');
// With one worker this thread tokenizes itself; tokens from the cache need no workers. They end with this thread.
const workers =
  tokenizingWorkers > 1 && corpus.tokenCache === undefined
    ? openTokenizingWorkers(tokenizer, tokenizingWorkers)
    : undefined;
const batches = trainingSequence(corpus, tokenizer, { ...options, workers, onWarning }, cursor);
let last = Promise.resolve(); // requests are answered one after the other
port.on('message', () => {
  last = last.then(() => answer(batches));
});
