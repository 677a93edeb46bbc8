import { matMul, slice } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { openSession } from '../../src/runtime/openSession.ts';
import { nodeTimings } from '../../src/runtime/trace.ts';
import { profileOf } from '../../src/checks/profile.ts';

const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
afterAll(() => session.close());

describe('a trace', () => {
  it('times the nodes of the runs in it, and of no others', async () => {
    const n = 256;
    await session.addVariables([{ name: 'x', shape: [n, n], values: new Float32Array(n * n).fill(1) }]);
    const program = session.program('square', {}, (_, variables) => {
      const x = variables.read('x');
      return { corner: slice(matMul(matMul(x, x), x), [0, 0], [1, 1]) };
    });
    await program.run({});
    const beganMs = performance.now();
    const timings = await session.traced(async () => {
      expect((await program.run({}))['corner']![0]).toBe(n * n);
      await program.run({});
    });
    const wallMs = performance.now() - beganMs;
    expect(await session.traced(async () => undefined)).toEqual([]);

    const products = timings.filter(({ operation }) => /MatMul|ClmProduct/.test(operation));
    expect(products).toHaveLength(4); // two products in each of two runs
    for (const { name, elapsedMs, startMs } of products) {
      expect(name).toContain('square');
      expect(elapsedMs).toBeGreaterThan(0);
      expect(elapsedMs).toBeLessThan(wallMs);
      expect(startMs).toBeGreaterThan(0);
    }
    const profile = profileOf(timings, 2);
    expect(profile[0]).toMatchObject({ operation: products[0]!.operation, count: 2 });
    expect(profile.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
  });

  it('is refused by an eager session', async () => {
    const eager = openSession({ mode: 'eager', precision: 'float32', device: 'cpu' });
    await expect(eager.traced(async () => undefined)).rejects.toThrow('only a recorded session');
    eager.close();
  });

  it('refuses bytes that are no message', () => {
    expect(() => nodeTimings(Uint8Array.of(0x0a, 0x05, 0x00))).toThrow('ends too early');
    expect(() => nodeTimings(Uint8Array.of(0x0b))).toThrow('wire type 3');
  });
});
