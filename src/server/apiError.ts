/** Refusals and failures, in the shape of OpenAI's errors. */

interface ErrorDetails {
  /** The field of the request that is meant. */
  param?: string | undefined;
  /** A word for programs, e.g. `context_length_exceeded`. */
  code?: string | undefined;
  /** Headers of the answer. */
  headers?: Readonly<Record<string, string>>;
}

/** What a client is told; nothing of the machine is in it: no paths, no stack. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  readonly details: ErrorDetails;

  constructor(status: number, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.details = details;
  }

  /** The body of the answer. */
  toJSON(): object {
    const { param = null, code = null } = this.details;
    return { error: { message: this.message, type: typeOf(this.status), param, code } };
  }
}

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** A request that the client has to change. */
export const badRequest = (message: string, param?: string, code?: string): ApiError =>
  new ApiError(400, message, { param, code });

/** Why a request ended whose client closed the connection; nobody is left to be told. 499 is nginx's number for it. */
export const clientGone = new ApiError(499, 'the client closed the connection');
