/**
 * A TensorFlow graph and the session that runs it: the two native objects a recorded program needs. All programs of a
 * run are in one graph and one session, because otherwise they could not share variables. The graph may grow between
 * runs; TF_SessionRun adds new nodes to the session by itself.
 */
import os from 'node:os';
import { attributeTypes, type Attribute } from './binding.ts';
import { bufferBytes, int64s, throwOnError, withStatus, type CApi, type Output } from './capi.ts';
import { briefly } from './decoding/brief.ts';
import { field, varintField } from '../storage/protobuf.ts';
import type { Pointer } from './libc.ts';
import { clusterConfig, serverTarget, type ServerPlace } from './server.ts';
import type { ProgramOptions } from './session.ts';
import { fullTrace, nodeTimings, type NodeTiming } from './trace.ts';

interface Operation {
  type: string;
  name: string;
  /** A list is one list input, such as ConcatV2's values. */
  inputs: readonly (Output | readonly Output[])[];
  controlInputs?: readonly Pointer[];
  attributes?: readonly Attribute[];
  /** Sets attributes of kinds that `Attribute` does not have, such as a Const's tensor. */
  describe?: (description: Pointer, status: Pointer) => void;
}

/**
 * A ConfigProto. graph_options (10) { rewrite_options (10) { remapping (14): OFF } }: grappler's remapper fuses
 * BatchMatMul, Mul and Add into _MklFusedBatchMatMulV2, which is 70 times slower than its parts. With several branches,
 * intra_op_parallelism_threads (2) and inter_op_parallelism_threads (5) share the cores among them; both have an effect
 * only if TF_OVERRIDE_GLOBAL_THREADPOOL is set before the library is loaded.
 */
function sessionConfig(branches: number): Uint8Array {
  const remappingOff = field(10, field(10, varintField(14, 2)));
  if (branches === 1) return remappingOff;
  const threadsPerBranch = Math.max(1, Math.floor(os.availableParallelism() / branches));
  return Buffer.concat([remappingOff, varintField(2, threadsPerBranch), varintField(5, branches)]);
}

/** In a RunOptions: inter_op_thread_pool (3) −1 is the thread that calls TF_SessionRun. */
const callersThread = varintField(3, -1);

/** Owns a TF_Graph and its TF_Session. */
export class GraphSession {
  readonly #c: CApi;
  readonly #graph: Pointer;
  readonly #session: Pointer;
  /** Timings of runs are added here; null while nothing is traced. */
  #trace: NodeTiming[] | null = null;

  /**
   * @param branches parallel branches of the programs to come, see `sessionConfig`
   * @param place among the processes that compute together
   */
  constructor(c: CApi, branches: number, place?: ServerPlace) {
    this.#c = c;
    this.#graph = c.TF_NewGraph();
    const options: Pointer = c.TF_NewSessionOptions();
    const own = sessionConfig(branches);
    const config = place === undefined ? own : clusterConfig(place, own);
    if (place !== undefined) c.TF_SetTarget(options, serverTarget(c, place, own));
    withStatus(c, 'session options', (status) => c.TF_SetConfig(options, config, config.length, status));
    this.#session = withStatus(c, 'new session', (status) => c.TF_NewSession(this.#graph, options, status) as Pointer);
    c.TF_DeleteSessionOptions(options);
  }

  /** Adds one node. @throws TensorFlow's message if types or shapes do not fit */
  add({ type, name, inputs, controlInputs = [], attributes = [], describe }: Operation): Pointer {
    const c = this.#c;
    const description: Pointer = c.TF_NewOperation(this.#graph, type, name);
    for (const input of inputs) {
      if (Array.isArray(input)) c.TF_AddInputList(description, input, input.length);
      else c.TF_AddInput(description, input);
    }
    for (const control of controlInputs) c.TF_AddControlInput(description, control);
    for (const attribute of attributes) setAttribute(c, description, attribute);
    return withStatus(c, `${type} ${name}`, (status) => {
      describe?.(description, status);
      return c.TF_FinishOperation(description, status) as Pointer;
    });
  }

  dataType(output: Output): number {
    return this.#c.TF_OperationOutputType(output) as number;
  }

  /** The shape TensorFlow infers. @throws if a dimension is unknown: recorded shapes are static */
  shape(output: Output, name: string): number[] {
    const c = this.#c;
    const rank = withStatus(c, 'rank', (s) => c.TF_GraphGetTensorNumDims(this.#graph, output, s) as number);
    const shape = new BigInt64Array(Math.max(rank, 0));
    if (rank > 0) withStatus(c, 'shape', (s) => c.TF_GraphGetTensorShape(this.#graph, output, shape, rank, s));
    const dimensions = Array.from(shape, Number);
    if (rank < 0 || dimensions.some((dimension) => dimension < 0)) {
      throw new Error(`recording ${name}: its shape is not known before it runs`);
    }
    return dimensions;
  }

  /**
   * Runs the graph once, on another thread unless it is brief. The caller owns the tensors fed (and must keep them
   * until the promise settles) and the ones returned.
   */
  run(
    feeds: readonly { output: Output; tensor: Pointer }[],
    fetches: readonly Output[],
    targets: readonly Pointer[],
    { onOneThread = false, isBrief = false }: ProgramOptions = {},
  ): Promise<Pointer[]> {
    const c = this.#c;
    const status: Pointer = c.TF_NewStatus();
    const fetched: Pointer[] = new Array<Pointer>(fetches.length).fill(null);
    const trace = this.#trace;
    const wanted = Buffer.concat([...(trace === null ? [] : [fullTrace]), ...(onOneThread ? [callersThread] : [])]);
    const options: Pointer = wanted.length === 0 ? null : c.TF_NewBufferFromString(wanted, wanted.length);
    const metadata: Pointer = trace === null ? null : c.TF_NewBuffer();
    const fed = [feeds.map((feed) => feed.output), feeds.map((feed) => feed.tensor), feeds.length];
    const wantedOutputs = [fetches, fetched, fetches.length];
    const run = [this.#session, options, ...fed, ...wantedOutputs, targets, targets.length, metadata, status];
    return new Promise((resolve, reject) => {
      const ended = (error: unknown): void => {
        try {
          if (error) throw error;
          throwOnError(c, status, 'a recorded program failed');
          trace?.push(...nodeTimings(bufferBytes(c, metadata)));
          resolve(fetched);
        } catch (failure) {
          reject(failure as Error);
        } finally {
          c.TF_DeleteStatus(status);
          for (const buffer of [options, metadata]) if (buffer !== null) c.TF_DeleteBuffer(buffer);
        }
      };
      if (isBrief) void briefly(() => ended(c.TF_SessionRun(...run)));
      else c.TF_SessionRun.async(...run, ended);
    });
  }

  /** Runs `body` and returns how long each node took in the runs in it; tracing slows them a little. */
  async traced(body: () => Promise<void>): Promise<NodeTiming[]> {
    const trace: NodeTiming[] = [];
    this.#trace = trace;
    try {
      await body();
    } finally {
      this.#trace = null;
    }
    return trace;
  }

  close(): void {
    const c = this.#c;
    withStatus(c, 'close session', (status) => c.TF_CloseSession(this.#session, status));
    withStatus(c, 'delete session', (status) => c.TF_DeleteSession(this.#session, status));
    c.TF_DeleteGraph(this.#graph);
  }
}

function setAttribute(c: CApi, description: Pointer, { name, type, value }: Attribute): void {
  switch (type) {
    case attributeTypes.type:
      c.TF_SetAttrType(description, name, value);
      break;
    case attributeTypes.int:
      if (Array.isArray(value)) c.TF_SetAttrIntList(description, name, int64s(value as number[]), value.length);
      else c.TF_SetAttrInt(description, name, value);
      break;
    case attributeTypes.bool:
      c.TF_SetAttrBool(description, name, value ? 1 : 0);
      break;
    case attributeTypes.float:
      c.TF_SetAttrFloat(description, name, value);
      break;
    case attributeTypes.string: {
      const bytes = Buffer.from(value as string);
      c.TF_SetAttrString(description, name, bytes, bytes.length);
      break;
    }
    case attributeTypes.shape: {
      const shape = value as number[];
      c.TF_SetAttrShape(description, name, int64s(shape), shape.length);
      break;
    }
    default:
      throw new Error(`recording: attribute ${name} is of a kind (${type}) that cannot be recorded`);
  }
}
