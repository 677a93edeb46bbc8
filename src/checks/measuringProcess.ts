/**
 * A process of its own that loads TensorFlow and measures, so that the process that plans loads nothing native, and can
 * end a measurement whenever it takes too long. measurement.ts starts it and sends it one request.
 */
import type { Config } from '../config/schema.ts';
import { measurePeak, measureSteps, type MeasuringEvent } from './stepMeasurement.ts';

export interface MeasuringRequest {
  config: Config;
  vocabularySize: number;
  /** Training steps to make; 0: none. They come first, since the time may end. */
  steps: number;
  /** Whether to measure the peak of matrix products. */
  measuresPeak: boolean;
}

export type MeasuringMessage = MeasuringEvent | { kind: 'failed'; message: string };

const send = (message: MeasuringMessage): void => void process.send?.(message);

async function answer(request: MeasuringRequest): Promise<void> {
  if (request.steps > 0) await measureSteps(request.config, request, send);
  if (request.measuresPeak) await measurePeak(request.config, send);
}

process.once('message', (request: MeasuringRequest) => {
  answer(request)
    .catch((error: unknown) => send({ kind: 'failed', message: (error as Error).message }))
    .finally(() => process.disconnect?.());
});
// The process that asked is gone.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
