/** The worker thread of backgroundSequence.ts: makes the training sequence, one micro-batch each time one is asked for. */
import { parentPort, workerData } from 'node:worker_threads';

import { ExpectedError } from '../errors.ts';
import type { SequenceRequest, WorkerAnswer } from './backgroundSequence.ts';
import { trainingSequence } from './mixture.ts';
import { tokenizerFromFile } from './tokenizers/tokenizerFile.ts';

const { corpus, tokenizerText, options, cursor } = workerData as SequenceRequest;
const port = parentPort!;

async function answer(batches: ReturnType<typeof trainingSequence>): Promise<void> {
  try {
    const next = await batches.next();
    if (next.done === true) throw new Error('the training sequence ended');
    const batch = next.value;
    port.postMessage({ batch } satisfies WorkerAnswer, [batch.inputs.buffer, batch.targets.buffer, batch.weights.buffer] as ArrayBuffer[]);
  } catch (error) {
    const { message, stack } = error as Error;
    port.postMessage({ failure: { kind: error instanceof ExpectedError ? error.kind : null, message, stack } } satisfies WorkerAnswer);
  }
}

const batches = trainingSequence(corpus, tokenizerFromFile(tokenizerText, 'the tokenizer of the run'), options, cursor);
let last = Promise.resolve();
port.on('message', () => {
  last = last.then(() => answer(batches));
});
