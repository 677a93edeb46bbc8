/** What clm's worker threads share: where their code is, and how their errors reach the thread that started them. */
import { ExpectedError, failureOfKind } from '../errors.ts';
import type { FailureKind } from '../errors.ts';

/**
 * The compiled file of a worker. Workers run from `dist` even if the sources themselves are run, e.g. by tests.
 * @param name below src/data, without its extension
 */
export const workerFile = (name: string): URL =>
  import.meta.url.endsWith('.ts')
    ? new URL(`../../dist/data/${name}.js`, import.meta.url)
    : new URL(`./${name}.js`, import.meta.url);

/** An error in a form that survives postMessage. `kind` is null for a bug. */
export interface WorkerFailure {
  readonly kind: FailureKind | null;
  readonly message: string;
  readonly stack: string | undefined;
}

export function failureOf(error: unknown): WorkerFailure {
  const { message, stack } = error as Error;
  return { kind: error instanceof ExpectedError ? error.kind : null, message, stack };
}

/** The error to throw in the thread that started the worker. A bug keeps the worker's stack. */
export function errorOf({ kind, message, stack }: WorkerFailure): Error {
  if (kind !== null) return failureOfKind(kind, message);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
