/**
 * TensorFlow's server of this process, through which the sessions of several processes exchange tensors
 * (tensorflow/c/c_api.h, TF_NewServer). One a process, shared by all its sessions: a second one on the same port is
 * refused.
 */
import { field, varintField } from '../storage/protobuf.ts';
import { withStatus, type CApi } from './capi.ts';
import type { Pointer } from './libc.ts';

/** Which of the processes this one is, and where the servers of all are. */
export interface ServerPlace {
  /** From 0. */
  readonly rank: number;
  /** host:port of the server of each rank. */
  readonly addresses: readonly string[];
}

let started: { target: string; place: ServerPlace } | undefined;

/**
 * Starts the server, the first time, and returns the target of sessions that run on it.
 * @param config ConfigProto of the sessions; the first one decides how many threads there are
 * @throws TensorFlow's message if the port cannot be listened on
 */
export function serverTarget(c: CApi, place: ServerPlace, config: Uint8Array): string {
  if (started !== undefined) {
    if (started.place !== place) throw new Error('this process already is part of another group of processes');
    return started.target;
  }
  const definition = serverDefinition(place, config);
  const server = withStatus(c, 'server', (s) => c.TF_NewServer(definition, definition.length, s) as Pointer);
  withStatus(c, 'start of the server', (status) => c.TF_ServerStart(server, status));
  started = { target: c.TF_ServerTarget(server) as string, place };
  return started.target;
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
