/** Expected failures: errors that are not bugs of clm, each kind with its own exit code. */
export type FailureKind = 'wrongInput' | 'environment' | 'diverged';

const exitCodes: Record<FailureKind, number> = { wrongInput: 2, environment: 3, diverged: 4 };
export const exitCodeOf = (kind: FailureKind): number => exitCodes[kind];

/**
 * A failure that is not a bug of clm: the message alone tells the user what happened and what to do. The program prints
 * it without a stack trace and exits with `exitCode`. What is thrown is always of one of the classes below.
 */
export class ExpectedError extends Error {
  /** What failed: the input, the machine, or the training itself. */
  readonly kind: FailureKind;
  /** The exit code of the program for this kind: 2, 3 or 4. */
  readonly exitCode: number;
  /** Another process tells the user. */
  isSaid = false;
  /** All processes of a group fail with it at the same time: none has to tell the others. */
  isShared = false;

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.kind = kind;
    this.exitCode = exitCodes[kind];
  }
}

/** Invalid usage, config, corpus, prompt or checkpoint (exit code 2). */
export class InputError extends ExpectedError {
  constructor(message: string, options?: ErrorOptions) {
    super('wrongInput', message, options);
  }
}

/** A config that is not valid: the message has a line per problem, with file, line, column and key (exit code 2). */
export class ConfigError extends InputError {}

/** A checkpoint of which a file is missing or does not match its hash: the message names the file (exit code 2). */
export class DamagedCheckpointError extends InputError {}

/** A problem of the machine or its environment: disk full, permission denied, no device (exit code 3). */
export class EnvironmentError extends ExpectedError {
  constructor(message: string, options?: ErrorOptions) {
    super('environment', message, options);
  }
}

/** Training diverged: a loss, gradient or parameter is no longer finite (exit code 4). */
export class DivergedError extends ExpectedError {
  constructor(message: string, options?: ErrorOptions) {
    super('diverged', message, options);
  }
}

/** @returns the error to throw for wrong input of no particular sort */
export const wrongInput = (message: string, options?: ErrorOptions): InputError => new InputError(message, options);

/** @returns the error to throw for a problem of the machine or its environment */
export const environmentFailure = (message: string, options?: ErrorOptions): EnvironmentError =>
  new EnvironmentError(message, options);

/** A failure of this kind, where no more than that is known of it, e.g. in another thread. */
export function failureOfKind(kind: FailureKind, message: string, options?: ErrorOptions): ExpectedError {
  if (kind === 'diverged') return new DivergedError(message, options);
  return kind === 'environment' ? new EnvironmentError(message, options) : new InputError(message, options);
}
