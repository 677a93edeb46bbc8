/**
 * Proof of a secret that two processes share, without sending it: each side answers the other's random challenge with
 * an HMAC, so that an answer that was overheard is of no use.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export const newChallenge = (): string => randomBytes(32).toString('hex');

/** @param parts who answers, and everything that the answer is to vouch for, the challenge among it */
export const proofOf = (secret: string, ...parts: readonly (string | number)[]): string =>
  createHmac('sha256', secret).update(JSON.stringify(parts)).digest('hex');

export function isProof(given: unknown, expected: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
