/** Messages of protocol buffers, field by field (https://protobuf.dev/programming-guides/encoding). */

/** A field that holds bytes, text or a message. */
export const field = (number: number, content: Uint8Array): Buffer =>
  Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);

export const varintField = (number: number, value: number): Buffer =>
  Buffer.concat([varint(number << 3), varint(value)]);

export function doubleField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint((number << 3) | 1), bytes]);
}

export function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint((number << 3) | 5), bytes]);
}

/** Seven bits a byte, the lowest first; a negative number as its 64-bit two's complement. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

/** A field as it is read: a number of wire type varint, or the bytes of any other. */
export type Field = { number: number; value: bigint | Uint8Array };

/** The fields of a message in order. @throws if the bytes are not a message */
export function fieldsOf(message: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (at + length > message.length) throw new Error('a protocol buffer ends too early');
    at += length;
    return message.subarray(at - length, at);
  };
  const takeVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = take(1)[0]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(takeVarint());
    const wireType = tag & 7;
    if (![0, 1, 2, 5].includes(wireType)) throw new Error(`a protocol buffer has a field of wire type ${wireType}`);
    const length = { 1: 8, 5: 4 }[wireType];
    const value = wireType === 0 ? takeVarint() : take(length ?? Number(takeVarint()));
    found.push({ number: tag >>> 3, value });
  }
  return found;
}
