/** Who may use the server: API keys, the host that a browser believes to talk to, and origins of web pages. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { ApiError } from './apiError.ts';

export interface Access {
  /** Any of them opens the server; null: it is open to everybody who reaches it. */
  apiKeys: readonly string[] | null;
  /** The address that is listened on. */
  host: string;
  /** Origins whose pages may use the server from a browser; `*` means all. */
  origins: readonly string[];
}

/** Whether only programs on this machine reach a server that listens there. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/**
 * Without a key, a page in a browser could reach a server on this machine by a name of its own that it lets point here
 * (DNS rebinding). The browser then sends that name.
 *
 * @throws ApiError if the request is for another host than this machine
 */
export function checkHost({ host = '' }: IncomingHttpHeaders, access: Access): void {
  if (access.apiKeys !== null || !isLoopback(access.host)) return;
  const name = host
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
  if (!isLoopback(name))
    throw new ApiError(403, 'This server answers to localhost alone: the Host header names another host.');
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** @throws ApiError without a key that is right */
export function checkKey({ authorization = '' }: IncomingHttpHeaders, { apiKeys }: Access): void {
  if (apiKeys === null) return;
  const given = digest(/^Bearer +(.*)$/i.exec(authorization)?.[1]?.trim() ?? '');
  // Every key is compared, in a time that does not depend on how much of it is right.
  const matches = apiKeys.filter((key) => timingSafeEqual(digest(key), given));
  if (matches.length > 0) return;
  const message = authorization === '' ? 'An API key is needed.' : 'The API key is wrong.';
  throw new ApiError(401, `${message} Send it as "Authorization: Bearer KEY".`, {
    ...{ code: 'invalid_api_key', headers: { 'www-authenticate': 'Bearer' } },
  });
}

/** Headers that let a page of one of the origins read the answer; none for others. */
export function corsHeaders({ origin }: IncomingHttpHeaders, { origins }: Access): OutgoingHttpHeaders {
  if (origins.length === 0) return {};
  if (origin === undefined || !(origins.includes('*') || origins.includes(origin))) return { vary: 'origin' };
  return {
    vary: 'origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'x-request-id, retry-after',
  };
}

/** What a browser asks before such a page sends a request. */
export const preflightHeaders = (asked: IncomingHttpHeaders): OutgoingHttpHeaders => ({
  'access-control-allow-methods': 'GET, POST',
  'access-control-allow-headers': asked['access-control-request-headers'] ?? 'authorization, content-type',
  'access-control-max-age': '600',
});
