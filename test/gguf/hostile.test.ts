/** GGUF files from anywhere: what is damaged or hostile is refused with a message, and takes no memory. */
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExpectedError } from '../../src/errors.ts';
import { openGguf } from '../../src/gguf/file/openGguf.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);
const types = fileURLToPath(new URL('fixtures/types.gguf', import.meta.url));

/** Integers of a header: `u32` and `u64` by their names, strings with their length. */
const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const string = (value: string | Buffer): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const uint32Key = (key: string, value: number): Buffer => Buffer.concat([string(key), u32(4), u32(value)]);

interface Parts {
  version?: number;
  tensorCount?: number | bigint;
  keyCount?: number | bigint;
  keys?: Buffer[];
  tensors?: Buffer[];
  data?: number;
}

const tensor = (name: string, dimensions: (number | bigint)[], type: number, offset: number | bigint): Buffer =>
  Buffer.concat([string(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);

function build({ version = 3, keys = [], tensors = [], data = 0, ...counts }: Parts): Buffer {
  const { tensorCount = tensors.length, keyCount = keys.length } = counts;
  const head = Buffer.concat([Buffer.from('GGUF'), u32(version), u64(tensorCount), u64(keyCount), ...keys, ...tensors]);
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(data)]);
}

const F32 = 0;
const pair = [tensor('a', [8, 2], F32, 0), tensor('b', [8], F32, 64)];
const huge = 2 ** 45;

describe('a hostile header', () => {
  it('is one that would be read, but for one thing', async () => {
    writeFileSync(at('good.gguf'), build({ version: 2, tensors: pair, data: 96 }));
    expect([...(await openGguf(at('good.gguf'))).tensors.values()].map(({ shape }) => shape)).toEqual([[2, 8], [8]]);
  });

  it.each<[string, Parts | Buffer, RegExp]>([
    ['no magic', Buffer.from('not a model'), /does not begin with "GGUF"/],
    ['nothing', Buffer.alloc(0), /only 0 bytes/],
    ['version 1', { version: 1 }, /version 1 .* versions 2 and 3/],
    ['big-endian', { version: 0x03000000 }, /big-endian/],
    ['more tensors than fit', { tensorCount: 90_000 }, /too few for 90000 tensors/],
    ['a number of tensors beyond all limits', { tensorCount: 1n << 40n }, /tensors, which is too many/],
    ['a number beyond 2^53', { keyCount: (1n << 64n) - 1n }, /number of its metadata keys.*too large/],
    ['more keys than fit', { keyCount: 60_000 }, /too few for 60000 metadata keys/],
    ['a key twice', { keys: [uint32Key('a', 1), uint32Key('a', 2)] }, /key "a" twice/],
    [
      'a string longer than the file',
      { keys: [Buffer.concat([u64(9_000_000), Buffer.alloc(64)])] },
      /too few for a meta/,
    ],
    [
      'a string beyond all limits',
      { keys: [Buffer.concat([u64(huge), Buffer.alloc(64)])] },
      /bytes, which is too long/,
    ],
    [
      'a key that is not UTF-8',
      { keys: [Buffer.concat([string(Buffer.of(0xc0, 0x80)), u32(4), u32(1)])] },
      /not UTF-8/,
    ],
    ['an unknown type', { keys: [Buffer.concat([string('k'), u32(13), u64(0)])] }, /unknown type 13/],
    [
      'a list longer than the file',
      { keys: [Buffer.concat([string('k'), u32(9), u32(0), u64(huge)])] },
      /too few for the/,
    ],
    ['a list of lists', { keys: [Buffer.concat([string('k'), u32(9), u32(9), u64(1), u64(0)])] }, /list of lists/],
    ['a bool of 2', { keys: [Buffer.concat([string('k'), u32(7), Buffer.of(2), u32(0)])] }, /neither true nor false/],
    ['an alignment of 3', { keys: [uint32Key('general.alignment', 3)] }, /general.alignment is 3/],
    ['an alignment of 2^31', { keys: [uint32Key('general.alignment', 2 ** 31)] }, /general.alignment is 2147483648/],
    ['a tensor twice', { tensors: [pair[0]!, tensor('a', [8], F32, 64)], data: 96 }, /tensor "a" twice/],
    ['no dimensions', { tensors: [tensor('a', [], F32, 0)], data: 32 }, /0 dimensions/],
    ['five dimensions', { tensors: [tensor('a', [1, 1, 1, 1, 8], F32, 0)], data: 32 }, /5 dimensions/],
    ['a dimension of 0', { tensors: [tensor('a', [8, 0], F32, 0)], data: 32 }, /the shape \(8, 0\)/],
    ['a product beyond 2^53', { tensors: [tensor('a', [huge, huge], F32, 0)], data: 32 }, /has the shape/],
    ['a tensor beyond the file', { tensors: [tensor('a', [8, 2 ** 30], F32, 0)], data: 32 }, /beyond the file/],
    ['half a block', { tensors: [tensor('a', [48], 8, 0)], data: 64 }, /not whole blocks of Q8_0/],
    ['a type that clm does not read', { tensors: [tensor('a', [256], 10, 0)], data: 96 }, /type Q2_K; clm reads F32/],
    ['an unknown type of tensor', { tensors: [tensor('a', [256], 77, 0)], data: 96 }, /type number 77; clm reads F32/],
    ['an odd offset', { tensors: [pair[0]!, tensor('b', [8], F32, 65)], data: 128 }, /at 65, not a multiple of 32/],
    ['an overlap', { tensors: [pair[0]!, tensor('b', [8], F32, 32)], data: 64 }, /"b" overlaps the tensor before/],
    ['a gap', { tensors: [pair[0]!, tensor('b', [8], F32, 96)], data: 128 }, /gap of unused bytes before tensor "b"/],
    [
      'an offset beyond 2^53',
      { tensors: [tensor('a', [8], F32, 1n << 60n)], data: 32 },
      /offset of tensor "a".*too large/,
    ],
    ['bytes after the last tensor', { tensors: pair, data: 160 }, /last 64 bytes do not belong/],
  ])('%s', async (_, parts, message) => {
    writeFileSync(at('bad.gguf'), Buffer.isBuffer(parts) ? parts : build(parts));
    const failure = await failureOf(openGguf(at('bad.gguf')));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toMatch(message);
    expect(failure.message).toContain(at('bad.gguf'));
  });

  it('of a sparse file of a terabyte is refused before its lists are in memory', async () => {
    const list = Buffer.concat([string('k'), u32(9), u32(0), u64(2 ** 33)]);
    writeFileSync(at('sparse.gguf'), build({ keys: [list] }));
    truncateSync(at('sparse.gguf'), 2 ** 40);
    const before = process.memoryUsage().rss;
    expect((await failureOf(openGguf(at('sparse.gguf')))).message).toMatch(/its header has more than 256 MiB/);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it('that is cut anywhere is refused', async () => {
    const whole = readFileSync(types);
    const file = at('cut.gguf');
    for (let bytes = 0; bytes < whole.length; bytes += 1 + Math.floor(bytes / 40)) {
      writeFileSync(file, whole.subarray(0, bytes));
      expect((await failureOf(openGguf(file))).kind).toBe('wrongInput');
    }
  });

  it('with any bytes changed is read or refused, never anything else', async () => {
    const whole = readFileSync(types);
    const change = fc.tuple(fc.nat(2500), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Buffer.from(whole);
        for (const [index, byte] of changes) bytes[index] = byte;
        writeFileSync(at('changed.gguf'), bytes);
        await openGguf(at('changed.gguf')).catch((error: unknown) => {
          if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
        });
      }),
      { numRuns: 150 },
    );
  });
});

describe('split files', () => {
  const number = (key: string, value: number, type = 2): Buffer =>
    Buffer.concat([string(key), u32(type), Buffer.from(Uint16Array.of(value).buffer)]);
  const part = (no: number, count: number, tensors: Buffer[], data: number): Buffer =>
    build({ keys: [number('split.no', no), number('split.count', count)], tensors, data });
  const write = (): void => {
    writeFileSync(at('m-00001-of-00002.gguf'), part(0, 2, [tensor('a', [8, 2], F32, 0)], 64));
    writeFileSync(at('m-00002-of-00002.gguf'), part(1, 2, [tensor('b', [8], F32, 0)], 32));
  };

  it('are read as one model', async () => {
    write();
    const { tensors } = await openGguf(at('m-00001-of-00002.gguf'));
    expect([...tensors.values()].map(({ name, file }) => [name, path.basename(file)])).toEqual([
      ['a', 'm-00001-of-00002.gguf'],
      ['b', 'm-00002-of-00002.gguf'],
    ]);
  });

  it('are refused when one is missing, renamed, or not the first', async () => {
    write();
    const messageFor = async (name: string): Promise<string> => (await failureOf(openGguf(at(name)))).message;
    expect(await messageFor('m-00002-of-00002.gguf')).toMatch(/not the first part; import .*m-00001-of-00002\.gguf/);
    writeFileSync(at('whole.gguf'), readFileSync(at('m-00001-of-00002.gguf')));
    expect(await messageFor('whole.gguf')).toMatch(/one of 2 parts .* Rename them/);
    writeFileSync(at('m-00002-of-00002.gguf'), part(1, 2, [tensor('a', [8], F32, 0)], 32));
    expect(await messageFor('m-00001-of-00002.gguf')).toMatch(/has the tensor a of another part again/);
    writeFileSync(at('m-00002-of-00002.gguf'), part(0, 2, [tensor('b', [8], F32, 0)], 32));
    expect(await messageFor('m-00001-of-00002.gguf')).toMatch(/is not part 2/);
    closeSync(openSync(at('m-00002-of-00002.gguf'), 'w'));
    expect(await messageFor('m-00001-of-00002.gguf')).toMatch(/m-00002-of-00002\.gguf is not a GGUF file/);
  });
});
