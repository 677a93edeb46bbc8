/** Whether processes meet on this machine alone or over a network, which must be asked for, and the secret for it. */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { environmentFailure, wrongInput } from '../errors.ts';

const shortestSecret = 16;

/**
 * @param host where rank 0 listens
 * @returns the address for rank 0 to listen on, or for the others to dial
 * @throws wrongInput if other machines could connect and nobody asked for that, or there is no secret
 */
export async function meetingAddress(
  host: string,
  { rank, isOpen, hasSecret }: { rank: number; isOpen: boolean; hasSecret: boolean },
): Promise<string> {
  const found = await lookup(host, { all: true }).catch(() => []);
  if (found.length === 0) throw environmentFailure(`There is no machine called ${host}: see --rendezvous.`);
  const addresses = found.map(({ address }) => address);
  if (!isOpen) {
    const loopback = addresses.find(isLoopback);
    if (loopback !== undefined) return loopback;
    throw wrongInput(
      `${host} is not this machine's loopback, so that other machines could connect: TensorFlow's servers neither ` +
        'check who does nor encrypt what they send. If that network is trusted, add --open-network ' +
        '(docs/processes.md).',
    );
  }
  if (!hasSecret) throw wrongInput('--open-network needs --secret-file: a file with the same secret on all machines.');
  const own = new Set(Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)));
  const outer = addresses.find((address) => own.has(address) && !isLoopback(address));
  // In /etc/hosts of many machines their own name is an address of the loopback.
  return rank === 0 ? (outer ?? '0.0.0.0') : (addresses.find((address) => !isLoopback(address)) ?? addresses[0]!);
}

const isLoopback = (address: string): boolean => /^127\.|^::1$/.test(address);

/** The content of a file, without white space around it. @throws wrongInput if it is missing or too short to be safe */
export function readSecret(file: string): string {
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw wrongInput(`--secret-file ${file} cannot be read: ${(error as Error).message}`);
  }
  if (secret.length >= shortestSecret) return secret;
  throw wrongInput(
    `--secret-file ${file} has ${secret.length} characters: a secret must have at least ${shortestSecret}, e.g. ` +
      'those of "openssl rand -hex 32".',
  );
}
