/**
 * How the processes of a run find each other: rank 0 listens, the others dial. Both sides prove that they know the
 * secret, and nobody is let in whose rank is taken or who was started for another number of processes.
 */
import { createConnection, createServer, isIP, type Server, type Socket } from 'node:net';
import type { FailureKind } from '../errors.ts';
import { afterAwake } from './awakeTime.ts';
import { connectionOf, type Connection } from './frames.ts';
import { nameOf, type Identity } from './identity.ts';
import { isProof, newChallenge, proofOf } from './secret.ts';

export interface MeetingPlace {
  rank: number;
  size: number;
  host: string;
  /** 0: any free one, for rank 0 alone. */
  port: number;
  secret: string;
  /** How long to wait for all; while this process is stopped it does not wait. */
  waitMs: number;
}

/** A process that has been let in. */
export interface Peer {
  rank: number;
  connection: Connection;
  identity: Identity;
}

interface Challenge {
  challenge: string;
}
interface Answer extends Challenge {
  rank: number;
  size: number;
  identity: Identity;
  proof: string;
}
type Admission = { proof: string; identity: Identity } | { refused: string };

/** Why the processes cannot train together. */
export class Refusal extends Error {
  readonly kind: FailureKind;

  constructor(message: string, kind: FailureKind = 'wrongInput') {
    super(message);
    this.kind = kind;
  }
}

/** How long a connection may take to prove that it knows the secret. */
const proofMs = 10_000;
const dialAgainMs = 200;

const answerParts = ({ rank, size, identity }: Omit<Answer, 'challenge' | 'proof'>) =>
  JSON.stringify([rank, size, identity]);

/**
 * Listens until all ranks have come.
 * @param onArrival told of each that is let in, before anything it says
 * @param onMessage what those say
 * @returns the address of this process that they have reached
 * @throws Refusal; what listening throws, e.g. that the port is taken
 */
export function awaitRanks(
  place: MeetingPlace,
  own: Identity,
  onListening: (port: number) => void,
  onArrival: (peer: Peer) => void,
  onMessage: (message: never, from: Connection) => void,
): Promise<string> {
  const { size, secret } = place;
  const peers = new Map<number, Peer>();
  const strangers = new Set<string>();
  let server: Server | undefined;
  let endWaiting = (): void => {};
  const arrived = new Promise<string>((resolve, reject) => {
    const refuse = (message: string, kind: FailureKind = 'wrongInput'): void => {
      for (const { connection } of peers.values()) connection.send({ kind: 'failed', failure: { message, kind } });
      reject(new Refusal(message, kind));
    };
    server = createServer((socket) => {
      const challenge = newChallenge();
      const tooLate = setTimeout(() => socket.destroy(), proofMs);
      socket.once('close', () => clearTimeout(tooLate));
      const connection = connectionOf(socket, (message: never, from) => {
        if (from.isProven) return onMessage(message, from);
        clearTimeout(tooLate);
        const answer = message as Answer;
        if (!isProof(answer.proof, proofOf(secret, 'joins', challenge, answerParts(answer)))) {
          strangers.add(addressOf(socket.remoteAddress));
          from.send({
            refused: 'the secret is another one than that of rank 0: see --secret-file',
          } satisfies Admission);
          return void socket.end();
        }
        from.isProven = true;
        const { rank, identity } = answer;
        const name = nameOf(rank, identity);
        const taken = rank === 0 ? undefined : peers.get(rank)?.identity;
        const problem =
          answer.size !== size
            ? `${name} was started for ${answer.size} processes, rank 0 for ${size}.`
            : !Number.isInteger(rank) || rank < 1 || rank >= size
              ? `${name} cannot join: the ranks of ${size} processes are 0 to ${size - 1}, each of them once.`
              : taken && `${name} is there twice: also as process ${taken.pid} on ${taken.host}.`;
        if (problem !== undefined) {
          from.send({ refused: problem });
          return refuse(problem);
        }
        const proof = proofOf(secret, 'admits', answer.challenge, JSON.stringify(own));
        from.send({ proof, identity: own } satisfies Admission);
        const peer = { rank, connection: from, identity };
        peers.set(rank, peer);
        onArrival(peer);
        if (peers.size === size - 1) resolve(addressOf(socket.localAddress));
      });
      connection.send({ challenge } satisfies Challenge);
    });
    server.once('error', reject);
    server.listen(place.port, place.host, () => onListening((server!.address() as { port: number }).port));
    const late = (): void => refuse(missing(size, peers, strangers, place.waitMs), 'environment');
    endWaiting = afterAwake(place.waitMs, late);
  });
  return arrived.finally(() => {
    endWaiting();
    server?.close();
  });
}

function missing(size: number, peers: ReadonlyMap<number, Peer>, strangers: ReadonlySet<string>, waitMs: number) {
  const absent = Array.from({ length: size }, (_, rank) => rank).filter((rank) => rank > 0 && !peers.has(rank));
  const refused =
    strangers.size === 0
      ? ''
      : ` Connections with another secret were refused, from ${[...strangers].join(', ')}: see --secret-file.`;
  return (
    `After ${Math.round(waitMs / 1000)} s ${absent.length === 1 ? 'rank' : 'ranks'} ${absent.join(', ')} of ${size} ` +
    `processes ${absent.length === 1 ? 'has' : 'have'} not come.${refused}`
  );
}

/**
 * Dials rank 0 until it answers.
 * @param place with the time after which rank 0, having answered once, has gone if it answers no more
 * @throws Refusal if it does not let this process in, or is not there in time
 */
export async function joinRanks(
  place: MeetingPlace & { goneMs: number },
  identity: Identity,
  onMessage: (message: never, from: Connection) => void,
): Promise<Admitted & { address: string }> {
  let [isLate, hasAnswered] = [false, false];
  const late = (): void => void (isLate = true);
  let endWaiting = afterAwake(place.waitMs, late);
  // It may have let this process in, and ended since with those that it has met.
  const onAsked = (): void => {
    endWaiting();
    hasAnswered = true;
    endWaiting = afterAwake(place.goneMs, late);
  };
  try {
    while (!isLate) {
      const socket = await dial(place);
      if (socket !== undefined) {
        const admission = await admitted(socket, place, identity, onMessage, onAsked);
        if (admission !== undefined) return { ...admission, address: addressOf(socket.localAddress) };
      }
      await new Promise((resolve) => setTimeout(resolve, dialAgainMs));
    }
  } finally {
    endWaiting();
  }
  const where = `${isIP(place.host) === 6 ? `[${place.host}]` : place.host}:${place.port}`;
  const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
  const how = hasAnswered
    ? `rank 0 answered at ${where}, and for ${seconds(place.goneMs)} no more: it has ended, or its network is down.`
    : `rank 0 was not found at ${where} within ${seconds(place.waitMs)}.`;
  throw new Refusal(how, 'environment');
}

const dial = ({ host, port, waitMs }: MeetingPlace): Promise<Socket | undefined> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: Math.min(waitMs, proofMs) });
    socket.once('connect', () => resolve(socket.setTimeout(0)));
    socket.once('timeout', () => socket.destroy());
    socket.once('close', () => resolve(undefined));
    socket.on('error', () => {});
  });

interface Admitted {
  connection: Connection;
  /** Of rank 0. */
  identity: Identity;
}

/** @returns undefined if rank 0 does not answer: it may not have been ready */
function admitted(
  socket: Socket,
  { rank, size, secret, host, port, goneMs }: MeetingPlace & { goneMs: number },
  identity: Identity,
  onMessage: (message: never, from: Connection) => void,
  onAsked: () => void,
): Promise<Admitted | undefined> {
  const own = newChallenge();
  const tooLate = setTimeout(() => socket.destroy(), Math.min(proofMs, goneMs));
  return new Promise((resolve, reject) => {
    let isAsked = false;
    const connection = connectionOf(socket, (message: never, from) => {
      if (from.isProven) return onMessage(message, from);
      if (!isAsked) {
        isAsked = true;
        onAsked();
        const answer = { rank, size, identity };
        const proof = proofOf(secret, 'joins', (message as Challenge).challenge, answerParts(answer));
        return from.send({ ...answer, challenge: own, proof } satisfies Answer);
      }
      clearTimeout(tooLate);
      const admission = message as Admission;
      if ('refused' in admission) return reject(new Refusal(admission.refused));
      if (!isProof(admission.proof, proofOf(secret, 'admits', own, JSON.stringify(admission.identity))))
        return reject(new Refusal(`what listens at ${host}:${port} does not know the secret.`));
      from.isProven = true;
      resolve({ connection: from, identity: admission.identity });
    });
    socket.once('close', () => {
      clearTimeout(tooLate);
      resolve(undefined);
    });
    void connection;
  });
}

/** Without the prefix that a socket of both families gives an IPv4 address. */
const addressOf = (address: string | undefined): string => (address ?? '').replace(/^::ffff:/, '');
