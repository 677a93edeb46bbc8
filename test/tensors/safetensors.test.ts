import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/tensors/safetensors.ts';
import { assertSameTensors, type NamedTensor } from '../../src/tensors/tensors.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const file = () => join(folder(), 'tensors.safetensors');

const tensor = (name: string, shape: number[], first = 0): NamedTensor => ({
  name,
  shape,
  values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => first + i),
});

/** Writes a file with this header and `dataBytes` bytes of data. */
async function writeRaw(header: string | Uint8Array, dataBytes: number, headerBytes?: bigint): Promise<void> {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerBytes ?? BigInt(json.length));
  await writeFile(file(), Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
}

describe('writing and reading', () => {
  it('preserves names, shapes, bits and order', async () => {
    const special = Float32Array.of(NaN, -0, Infinity, -Infinity, 1e-45, 3.4028234663852886e38, 1 / 3);
    const tensors = [
      tensor('10', [2, 3, 5], 7), // as a key of an object, '10' and '2' would come first and in the other order
      { name: 'special', shape: [7], values: special },
      tensor('2', [1, 11]),
      tensor('scalar', []),
      tensor('__proto__', [3]),
      tensor('blöcke."0"\\{[]}:', [13]),
    ];
    await writeSafetensors(file(), tensors, { note: 'a' });
    const read = await readSafetensors(file());
    expect(read.map(({ name, shape }) => [name, shape])).toEqual(tensors.map(({ name, shape }) => [name, shape]));
    const bits = (list: readonly NamedTensor[]) => list.map(({ values }) => Buffer.from(values.buffer).toString('hex'));
    expect(bits(read)).toEqual(bits(tensors));
  });

  it('writes a part of a larger buffer, empty tensors and no tensors at all', async () => {
    const whole = Float32Array.from({ length: 17 }, (_, i) => i);
    await writeSafetensors(file(), [
      { name: 'empty', shape: [3, 0], values: new Float32Array(0) },
      { name: 'part', shape: [5], values: whole.subarray(4, 9) },
    ]);
    const [empty, part] = await readSafetensors(file());
    expect(empty).toEqual({ name: 'empty', shape: [3, 0], values: new Float32Array(0) });
    expect([...part!.values]).toEqual([4, 5, 6, 7, 8]);
    await writeSafetensors(file(), []);
    expect(await readSafetensors(file())).toEqual([]);
  });

  it('writes exactly the bytes of the format, with the data from a multiple of 64 on', async () => {
    const { digest } = await writeSafetensors(file(), [{ name: 'a', shape: [2], values: Float32Array.of(1, -2) }]);
    const bytes = await readFile(file());
    const json = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    expect((8 + json.length) % 64).not.toBe(0); // so that padding is needed
    expect(bytes.readBigUInt64LE()).toBe(BigInt(Math.ceil((8 + json.length) / 64) * 64 - 8));
    expect(bytes.toString('latin1', 8, bytes.length - 8).trimEnd()).toBe(json);
    expect(bytes.subarray(-8).toString('hex')).toBe('0000803f000000c0');
    expect(digest).toEqual({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    await writeSafetensors(file(), [{ name: 'a', shape: [2], values: Float32Array.of(1, -2) }]);
    expect(await readFile(file())).toEqual(bytes);
  });

  it('works across chunks', async () => {
    const large = tensor('large', [2_097_169]); // 8 MiB and 68 bytes
    await writeSafetensors(file(), [tensor('first', [3]), large]);
    const [, read] = await readSafetensors(file());
    expect(Buffer.compare(Buffer.from(read!.values.buffer), Buffer.from(large.values.buffer))).toBe(0);
  });

  it('refuses inconsistent tensors', async () => {
    await expect(writeSafetensors(file(), [tensor('a', [2]), tensor('a', [3])])).rejects.toThrow('two tensors');
    await expect(writeSafetensors(file(), [tensor('__metadata__', [2])])).rejects.toThrow('reserved');
    const wrong = { name: 'a', shape: [2, 3], values: new Float32Array(5) };
    await expect(writeSafetensors(file(), [wrong])).rejects.toThrow('5 values for shape (2,3)');
  });
});

describe('hostile files', () => {
  const entry = (shape: string, offsets: string, dtype = '"F32"') =>
    `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;

  const cases: [what: string, header: string, dataBytes: number, message: string][] = [
    ['no JSON', '{"a":', 0, 'not valid JSON'],
    ['no object', '[1]', 0, 'not a JSON object'],
    ['white space first', ' {}', 0, 'not a JSON object'],
    ['text after it', '{}x', 0, 'not valid JSON'],
    ['a tensor that is no object', '{"a":null}', 0, '"a" is not described by an object'],
    ['no dtype', '{"a":{"shape":[],"data_offsets":[0,4]}}', 4, 'has no dtype'],
    ['unknown dtype', `{"a":${entry('[2]', '[0,4]', '"BF16"')}}`, 4, 'dtype "BF16"'],
    ['inherited dtype', `{"a":${entry('[2]', '[0,4]', '"toString"')}}`, 4, 'dtype "toString"'],
    ['negative size', `{"a":${entry('[-1]', '[0,4]')}}`, 4, 'shape of tensor "a"'],
    ['fractional size', `{"a":${entry('[1.5]', '[0,6]')}}`, 6, 'shape of tensor "a"'],
    ['size as text', `{"a":${entry('["1"]', '[0,4]')}}`, 4, 'shape of tensor "a"'],
    ['shape that overflows', `{"a":${entry('[4294967296,4294967296]', '[0,0]')}}`, 0, 'too large'],
    ['shape larger than the data', `{"a":${entry('[3]', '[0,8]')}}`, 8, '8 bytes of data, its shape (3) needs 12'],
    ['three offsets', `{"a":${entry('[1]', '[0,4,4]')}}`, 4, 'data_offsets'],
    ['huge offset', `{"a":${entry('[1]', '[0,1e300]')}}`, 4, 'data_offsets'],
    ['offsets backwards', `{"a":${entry('[1]', '[4,0]')}}`, 4, 'ends before it begins'],
    ['end beyond the file', `{"a":${entry('[2]', '[0,8]')}}`, 4, 'ends beyond the file'],
    ['gap at the start', `{"a":${entry('[1]', '[4,8]')}}`, 8, 'gap'],
    ['gap between', `{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[8,12]')}}`, 12, 'gap'],
    ['overlap', `{"a":${entry('[2]', '[0,8]')},"b":${entry('[1]', '[4,8]')}}`, 8, '"b" overlaps'],
    ['same location', `{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[0,4]')}}`, 4, 'overlaps'],
    ['bytes at the end', `{"a":${entry('[1]', '[0,4]')}}`, 9, 'last 5 bytes'],
    ['duplicate name', `{"a":${entry('[1]', '[0,4]')},"a":${entry('[1]', '[0,4]')}}`, 4, 'duplicate key "a"'],
    [
      'duplicate name, escaped',
      `{"a":${entry('[1]', '[0,4]')},"\\u0061" :${entry('[1]', '[0,4]')}}`,
      4,
      'duplicate key "a"',
    ],
    [
      'duplicate field',
      '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
      'duplicate key "dtype"',
    ],
    ['metadata that are not strings', '{"__metadata__":{"a":1}}', 0, '__metadata__'],
    ['metadata that are a list', '{"__metadata__":["a"]}', 0, '__metadata__'],
  ];

  it.each(cases)('refuses %s', async (_, header, dataBytes, message) => {
    await writeRaw(header, dataBytes);
    const failure = await failureOf(readSafetensors(file()));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(file());
    expect(failure.message).toContain(message);
  });

  it('refuses headers that are too long, or longer than the file, before reading them', async () => {
    await writeRaw('{}', 0, 100_000_001n);
    expect((await failureOf(readSafetensors(file()))).message).toContain('too many');
    await writeRaw('{}', 0, 0xffff_ffff_ffff_ffffn);
    expect((await failureOf(readSafetensors(file()))).message).toContain('too many');
    await writeRaw('{}', 3, 6n);
    expect((await failureOf(readSafetensors(file()))).message).toContain('only 5 follow');
    await writeRaw('', 0);
    expect((await failureOf(readSafetensors(file()))).message).toContain('not a JSON object');
    await writeRaw(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 0);
    expect((await failureOf(readSafetensors(file()))).message).toContain('UTF-8');
  });

  it('refuses deep nesting and unterminated strings without crashing', async () => {
    await writeRaw(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 0);
    expect((await failureOf(readSafetensors(file()))).kind).toBe('wrongInput');
    await writeRaw(`{"a":"${'\\n'.repeat(1_000_000)}"}`, 0);
    expect((await failureOf(readSafetensors(file()))).kind).toBe('wrongInput');
  });

  it('refuses a missing file and a folder', async () => {
    expect((await failureOf(readSafetensors(file()))).message).toContain('does not exist');
    await mkdir(file());
    expect((await failureOf(readSafetensors(file()))).message).toContain('is a folder');
  });

  it('refuses every truncation', async () => {
    await writeSafetensors(file(), [tensor('a', [2, 3]), tensor('b', [5])]);
    const whole = await readFile(file());
    for (let length = 0; length < whole.length; length++) {
      await writeFile(file(), whole.subarray(0, length));
      expect((await failureOf(readSafetensors(file()))).kind, `${length} bytes`).toBe('wrongInput');
    }
  });

  it('reads or refuses a file with any changed byte, without another error', async () => {
    await writeSafetensors(file(), [tensor('a', [2, 3]), tensor('b', [5])], { k: 'v' });
    const whole = await readFile(file());
    let refused = 0;
    const change = fc.tuple(fc.integer({ min: 0, max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(change, async ([index, mask]) => {
        const changed = Buffer.from(whole);
        changed[index]! ^= mask;
        await writeFile(file(), changed);
        const outcome = await readSafetensors(file()).catch((error: unknown) => error);
        if (!Array.isArray(outcome)) {
          expect(outcome).toMatchObject({ kind: 'wrongInput' });
          refused++;
        }
      }),
      { seed: 1337, numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});

describe('assertSameTensors', () => {
  const expected = [
    { name: 'a', shape: [2, 3] },
    { name: 'b', shape: [5] },
  ];

  it('accepts the same tensors in any order', () => {
    const actual = [tensor('b', [5]), tensor('a', [2, 3])];
    expect(() => assertSameTensors(expected, actual, 'model.safetensors')).not.toThrow();
  });

  it('lists every difference, both ways', () => {
    const actual = [tensor('a', [3, 2]), tensor('c', [7])];
    const compare = () => assertSameTensors(expected, actual, 'model.safetensors');
    expect(compare).toThrow('model.safetensors does not match this config; 3 of its tensors differ');
    expect(compare).toThrow('a has shape (3, 2), expected (2, 3)');
    expect(compare).toThrow('b (5) is missing');
    expect(compare).toThrow('c is not expected');
  });

  it('only counts the differences beyond the first eight', () => {
    const many = Array.from({ length: 11 }, (_, i) => tensor(`t${i}`, [1]));
    expect(() => assertSameTensors([], many, 'f')).toThrow('and 3 more');
    expect(() => assertSameTensors(many.slice(0, 8), [], 'f')).not.toThrow('more');
  });
});
