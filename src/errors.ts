/** Expected failures: errors that are not bugs of clm, each kind with its own exit code. */
export type FailureKind = 'wrongInput' | 'environment' | 'diverged';

const exitCodes: Record<FailureKind, number> = { wrongInput: 2, environment: 3, diverged: 4 };

/**
 * A failure that is not a bug of clm: the message alone tells the user what happened and what to do. The program prints
 * it without a stack trace and exits with `exitCode`.
 */
export class ExpectedError extends Error {
  readonly kind: FailureKind;
  readonly exitCode: number;

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ExpectedError';
    this.kind = kind;
    this.exitCode = exitCodes[kind];
  }
}

/** Invalid usage, config, corpus, prompt or checkpoint (exit code 2). */
export const wrongInput = (message: string, options?: ErrorOptions): ExpectedError =>
  new ExpectedError('wrongInput', message, options);

/** A problem of the machine or its environment: disk full, permission denied, no device (exit code 3). */
export const environmentFailure = (message: string, options?: ErrorOptions): ExpectedError =>
  new ExpectedError('environment', message, options);
