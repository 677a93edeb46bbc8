/**
 * TensorBoard's records: each a protobuf `Event` (tensorflow/core/util/event.proto) framed as a TFRecord. Only what a
 * run reports is written: scalars, texts, and the events that mark a file's version and a restart.
 */
import { doubleField, field, floatField, varintField } from '../../storage/protobuf.ts';

/** One value under a tag, such as `training/loss`. */
export type EventValue = { tag: string; scalar: number } | { tag: string; text: string };

/** Length, its checksum, the event, its checksum; all little-endian. */
export function framed(event: Uint8Array): Buffer {
  const frame = Buffer.alloc(event.length + 16);
  frame.writeBigUInt64LE(BigInt(event.length), 0);
  frame.writeUInt32LE(maskedCrc32c(frame.subarray(0, 8)), 8);
  frame.set(event, 12);
  frame.writeUInt32LE(maskedCrc32c(event), 12 + event.length);
  return frame;
}

/** The first record of every file. */
export const versionEvent = (seconds: number): Buffer => event(seconds, 0, field(3, Buffer.from('brain.Event:2')));

/** Tells a reader to discard later steps of earlier files: the run continues from `step`. */
export const startEvent = (seconds: number, step: number): Buffer => event(seconds, step, field(7, varintField(1, 1)));

export function summaryEvent(seconds: number, step: number, values: readonly EventValue[]): Buffer {
  return event(
    seconds,
    step,
    field(5, Buffer.concat(values.map((value) => field(1, 'text' in value ? textValue(value) : scalarValue(value))))),
  );
}

const event = (seconds: number, step: number, what: Buffer): Buffer =>
  Buffer.concat([doubleField(1, seconds), varintField(2, step), what]);

/** Summary.Value: tag 1, simple_value 2. */
const scalarValue = ({ tag, scalar }: { tag: string; scalar: number }): Buffer =>
  Buffer.concat([field(1, Buffer.from(tag)), floatField(2, scalar)]);

/**
 * Summary.Value: tag 1, tensor 8 (dtype 1: DT_STRING = 7, shape 2 of one dimension, string_val 8), metadata 9
 * (plugin_data 1: plugin_name 1).
 */
function textValue({ tag, text }: { tag: string; text: string }): Buffer {
  const shape = field(2, varintField(1, 1));
  const tensor = Buffer.concat([varintField(1, 7), field(2, shape), field(8, Buffer.from(text))]);
  const metadata = field(1, field(1, Buffer.from('text')));
  return Buffer.concat([field(1, Buffer.from(tag)), field(8, tensor), field(9, metadata)]);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc >>> 0;
});

/** CRC-32C (Castagnoli, RFC 3720 §B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ crcTable[(crc ^ bytes[i]!) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * As TFRecord files store it, so that a checksum of data that contains checksums remains a good one: rotated by 15
 * bits, plus a constant (tensorflow/core/lib/hash/crc32c.h).
 */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
