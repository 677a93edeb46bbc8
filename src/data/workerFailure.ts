/**
 * An error on its way from a worker thread to the thread that started it, where it is thrown as if it had come up
 * there.
 */
import { ExpectedError } from '../errors.ts';
import type { FailureKind } from '../errors.ts';

/** `kind` is null for a bug. */
export interface WorkerFailure {
  readonly kind: FailureKind | null;
  readonly message: string;
  readonly stack: string | undefined;
}

export function failureOf(error: unknown): WorkerFailure {
  const { message, stack } = error as Error;
  return { kind: error instanceof ExpectedError ? error.kind : null, message, stack };
}

/** A bug keeps the worker's stack. */
export function errorOf({ kind, message, stack }: WorkerFailure): Error {
  if (kind !== null) return new ExpectedError(kind, message);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
