/**
 * How long each node took in a traced run. TensorFlow returns a RunMetadata message
 * (tensorflow/core/protobuf/config.proto, framework/step_stats.proto), of which this reads the few fields needed.
 */
import { fieldsOf, varintField } from '../storage/protobuf.ts';

/** One execution of a node of the graph. */
export interface NodeTiming {
  /** The path under which it was recorded; Grappler adds nodes and changes names. */
  name: string;
  /** Type of its operation, e.g. MatMul. */
  operation: string;
  /** When it began, in ms of a clock common to all nodes of a run. */
  startMs: number;
  /**
   * From the kernel's start to its end, on its own thread; work on other threads counts only while it waits for it.
   */
  elapsedMs: number;
}

/** RunOptions { trace_level: FULL_TRACE }. */
export const fullTrace = varintField(1, 3);

/** The nodes of a RunMetadata, in the order in which they began. */
export function nodeTimings(runMetadata: Uint8Array): NodeTiming[] {
  const timings = messages(runMetadata, 1) // step_stats
    .flatMap((stepStats) => messages(stepStats, 1)) // dev_stats, one a device
    .flatMap((device) => messages(device, 2)) // node_stats
    .map(nodeTiming);
  return timings.sort((a, b) => a.startMs - b.startMs);
}

function nodeTiming(stats: Uint8Array): NodeTiming {
  const text = (field: number): string => new TextDecoder().decode(messages(stats, field)[0]);
  const nanoseconds = (field: number): number =>
    Number(fieldsOf(stats).find(({ number }) => number === field)?.value ?? 0);
  const name = text(1);
  // timeline_label is "NAME = OPERATION(INPUTS)".
  const operation = /= (\w+)\(/.exec(text(8))?.[1] ?? name;
  return {
    name,
    operation,
    startMs: (nanoseconds(13) + nanoseconds(14)) / 1e6, // all_start_nanos + op_start_rel_nanos
    elapsedMs: (nanoseconds(15) - nanoseconds(14)) / 1e6, // op_end_rel_nanos
  };
}

/** The values of a field of messages or strings. */
const messages = (message: Uint8Array, number: number): Uint8Array[] =>
  fieldsOf(message).flatMap((field) =>
    field.number === number && field.value instanceof Uint8Array ? [field.value] : [],
  );
