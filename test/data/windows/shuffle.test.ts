import { describe, expect, test } from 'vitest';

import { windowOrder } from '../../../src/data/windows/shuffle.ts';

describe('window order', () => {
  test('is the same on every machine', () => {
    expect(windowOrder(1337, 0, 0, 11).join(' ')).toBe('3 4 2 1 7 6 9 10 8 0 5');
  });

  test('is a permutation, another one for every seed, epoch and block', () => {
    const orders = [
      windowOrder(1, 0, 0, 101),
      windowOrder(2, 0, 0, 101),
      windowOrder(1, 1, 0, 101),
      windowOrder(1, 0, 1, 101),
    ];
    for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual([...Array(101).keys()]);
    expect(new Set(orders.map(String)).size).toBe(4);
  });

  test('brings every window to every place equally often', () => {
    const runs = 6000;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < runs; seed++) {
      const order = windowOrder(seed, 0, 0, 3).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // Standard deviation of a count: √(6000 · 1/6 · 5/6) = 29.
    for (const count of counts.values()) expect(Math.abs(count - runs / 6)).toBeLessThan(5 * 29);
  });

  test('of one window or none is trivial', () => {
    expect([...windowOrder(1, 0, 0, 1)]).toEqual([0]);
    expect([...windowOrder(1, 0, 0, 0)]).toEqual([]);
  });
});
