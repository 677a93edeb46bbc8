/**
 * What a traced run reports: how long each node took. TensorFlow answers with a RunMetadata message
 * (tensorflow/core/protobuf/config.proto, framework/step_stats.proto), of which this reads the few fields needed;
 * the wire format is that of https://protobuf.dev/programming-guides/encoding.
 */

/** One execution of a node of the graph. */
export interface NodeTiming {
  /** The path under which it was recorded; Grappler makes nodes of its own and changes names. */
  name: string;
  /** Type of its operation, as MatMul. */
  operation: string;
  /** When it began, in ms of a clock common to all nodes of a run. */
  startMs: number;
  /**
   * From the kernel's start to its end, on its own thread; work it gives to other threads counts only while it waits.
   */
  elapsedMs: number;
}

/** RunOptions { trace_level: FULL_TRACE }. */
export const fullTrace = Uint8Array.of(0x08, 0x03);

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
    Number(fields(stats).find(({ number }) => number === field)?.value ?? 0);
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

type Field = { number: number; value: bigint | Uint8Array };

/** The values of a field of messages or strings. */
const messages = (message: Uint8Array, number: number): Uint8Array[] =>
  fields(message).flatMap((field) =>
    field.number === number && field.value instanceof Uint8Array ? [field.value] : [],
  );

/** The fields of a message in order. @throws where the bytes are no message */
function fields(message: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (at + length > message.length) throw new Error('a protocol buffer ends too early');
    at += length;
    return message.subarray(at - length, at);
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = take(1)[0]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        found.push({ number, value: varint() });
        break;
      case 1:
        found.push({ number, value: take(8) });
        break;
      case 2:
        found.push({ number, value: take(Number(varint())) });
        break;
      case 5:
        found.push({ number, value: take(4) });
        break;
      default:
        throw new Error(`a protocol buffer has a field of unknown wire type ${tag & 7}`);
    }
  }
  return found;
}
