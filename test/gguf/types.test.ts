/**
 * The types of tensors and of metadata, compared with the `gguf` Python package to the last bit: the fixture comes from
 * scripts/fixtures/ggufTypes.py.
 */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { blocksOf } from '../../src/gguf/file/blocks.ts';
import { ggmlTypeNames } from '../../src/gguf/file/ggmlTypes.ts';
import { openGguf, valuesOf, type GgufModel } from '../../src/gguf/file/openGguf.ts';
import { readFileSync } from 'node:fs';

const path = fileURLToPath(new URL('fixtures/types.gguf', import.meta.url));
const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

let file: GgufModel;
beforeAll(async () => {
  file = await openGguf(path);
});

describe('blocks', () => {
  const quantised = ggmlTypeNames.filter((name) => name !== 'F32');

  it.each(quantised)('of %s have the values that dequantize gives', async (name) => {
    const [blocks, expected] = [file.tensors.get(name)!, file.tensors.get(`${name}.expected`)!];
    expect(blocks.type).toBe(name);
    expect(blocks.shape).toEqual(expected.shape);
    const values = await valuesOf(blocks);
    expect(new Set(values).size).toBeGreaterThan(100);
    expect(bytesOf(values).equals(bytesOf(await valuesOf(expected)))).toBe(true);
  });

  it.each(['F16', 'BF16', 'Q8_0'] as const)('are written as quantize writes %s', async (type) => {
    const values = await valuesOf(file.tensors.get('values')!);
    const { startByte, endByte } = file.tensors.get(`values.${type}`)!;
    expect(Buffer.from(blocksOf(values, type)).equals(readFileSync(path).subarray(startByte, endByte))).toBe(true);
  });
});

describe('metadata', () => {
  it('have every type', () => {
    const value = (key: string): unknown => file.metadata.get(`test.${key}`)?.value;
    const whole = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64'];
    expect(whole.map(value)).toEqual([
      ...[200, -100, 60_000, -30_000, 4_000_000_000, -2_000_000_000],
      ...[2 ** 53 - 1, -(2 ** 53) + 1],
    ]);
    expect(value('float32')).toBe(Math.fround(1e-5));
    expect(value('float64')).toBe(0.1);
    expect(value('bool')).toBe(true);
    expect(value('string')).toBe('Größe\n鯨');
    expect(file.metadata.get('test.strings')).toEqual({ type: 'array', items: 'string', value: ['a', '', 'ç'] });
    expect(file.metadata.get('test.numbers')).toEqual({ type: 'array', items: 'int32', value: [1, -2, 3] });
  });
});
