/**
 * TensorFlow's server of this process, through which the sessions of several processes exchange tensors
 * (tensorflow/c/c_api.h, TF_NewServer). One a process, shared by all its sessions: a second one on the same port is
 * refused.
 */
import { environmentFailure } from '../errors.ts';
import { field, varintField } from '../storage/protobuf.ts';
import { withStatus, type CApi } from './capi.ts';
import { readInstallation } from './installation/readInstallation.ts';
import { koffi, type Pointer } from './libc.ts';

/** Which of the processes this one is, and where the servers of all are. */
export interface ServerPlace {
  /** From 0. */
  readonly rank: number;
  /** host:port of the server of each rank. */
  readonly addresses: readonly string[];
  /** The one address of this machine that the server listens on. */
  readonly listensOn: string;
}

/** The library of clm's kernels, which also holds what this file calls (native/listening.h). */
export const kernelsFile = (): string => readInstallation().kernelsPath;

let listening: ReturnType<typeof loadListening> | undefined;

function loadListening() {
  const library = koffi().load(kernelsFile());
  return {
    library, // held, or koffi would unload it

    only: library.func('int ClmListenOnlyOn(const char*)') as (address: string) => number,
    boundCount: library.func('int ClmBoundCount()') as () => number,
    reservePort: library.func('int ClmReservePort(const char*)') as (address: string) => number,
    releasePort: library.func('void ClmReleasePort()') as () => void,
  };
}

/**
 * Reserves a port for the server of this process, and keeps that to one address of the machine: left to itself it would
 * listen on all (native/listening.h). TensorFlow must have been loaded.
 * @throws environmentFailure where that is not possible
 */
export function reserveServerPort(address: string): number {
  listening ??= loadListening();
  if (process.platform !== 'linux' || listening.only(address) === 0) {
    throw environmentFailure(
      'Several processes train together on Linux only: elsewhere the servers of TensorFlow, which neither check who ' +
        'connects nor encrypt, could not be kept from listening on every network of this machine.',
    );
  }
  const port = listening.reservePort(address);
  if (port === 0) throw environmentFailure(`No port of ${address} can be listened on.`);
  return port;
}

let started: { target: string; place: ServerPlace } | undefined;

/**
 * Starts the server of a group of processes, the first time, and returns the target of sessions that run on it.
 * @param config ConfigProto of the sessions; the first one decides how many threads there are
 * @throws environmentFailure if the port cannot be listened on
 */
export function serverTarget(c: CApi, place: ServerPlace, config: Uint8Array): string {
  if (started?.place === place) return started.target;
  const boundBefore = listening?.boundCount() ?? 0;
  const definition = serverDefinition(place, config);
  try {
    const server = withStatus(c, 'server', (s) => c.TF_NewServer(definition, definition.length, s) as Pointer);
    withStatus(c, 'start of the server', (status) => c.TF_ServerStart(server, status));
    started = { target: c.TF_ServerTarget(server) as string, place };
  } catch (error) {
    const own = place.addresses[place.rank];
    throw environmentFailure(`TensorFlow's server cannot listen on ${own}: ${(error as Error).message}`);
  }
  listening?.releasePort();
  if ((listening?.boundCount() ?? 0) === boundBefore)
    throw new Error("TensorFlow's server listens by another call than bind: it could not be kept to one address");
  return started.target;
}

/** The rank whose server a program could not reach, if it failed for that: gRPC's status 14 is "unavailable". */
export function unreachableRank({ message }: Error): number | undefined {
  const rank = /remote target \/job:worker\/replica:0\/task:(\d+)/.exec(message)?.[1];
  return rank !== undefined && /grpc_status:14\b/.test(message) ? Number(rank) : undefined;
}

const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));

/**
 * A ServerDef. cluster (1) { job (1) { name (1), tasks (2): a map of rank to address } }, job_name (2), task_index (3),
 * default_session_config (4), protocol (5).
 */
function serverDefinition(place: ServerPlace, config: Uint8Array): Buffer {
  const tasks = place.addresses.map((address, rank) =>
    field(2, Buffer.concat([varintField(1, rank), text(2, address)])),
  );
  const job = Buffer.concat([text(1, 'worker'), ...tasks]);
  const cluster = field(1, field(1, job));
  const own = Buffer.concat([text(2, 'worker'), varintField(3, place.rank)]);
  return Buffer.concat([cluster, own, field(4, clusterConfig(place, config)), text(5, 'grpc')]);
}

/**
 * The ConfigProto of a session among others: device_filters (4) keeps its operations in this process without a device
 * of their own; experimental (16) { collective_group_leader (1) } hands out the ids of collectives.
 */
export const clusterConfig = ({ rank }: ServerPlace, config: Uint8Array): Buffer =>
  Buffer.concat([config, text(4, `/job:worker/task:${rank}`), field(16, text(1, '/job:worker/replica:0/task:0'))]);
