import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { bestFit } from '../../../src/data/windows/bestFit.ts';

const windowsOf = (lengths: number[], capacity: number): number[][] => {
  const { pieces, firstPiece } = bestFit(lengths, capacity);
  return Array.from({ length: firstPiece.length - 1 }, (_, window) => [
    ...pieces.subarray(firstPiece[window], firstPiece[window + 1]),
  ]);
};

/** The same packing with every window looked at for every piece. */
function plainBestFit(lengths: number[], capacity: number): number[][] {
  const windows: { pieces: number[]; room: number }[] = [];
  const longestFirst = lengths
    .map((length, piece) => ({ length, piece }))
    .sort((a, b) => b.length - a.length || a.piece - b.piece);
  for (const { length, piece } of longestFirst) {
    const fitting = windows.filter(({ room }) => room >= length);
    const least = Math.min(...fitting.map(({ room }) => room));
    const window = fitting.find(({ room }) => room === least);
    if (window === undefined) windows.push({ pieces: [piece], room: capacity - length });
    else {
      window.pieces.push(piece);
      window.room -= length;
    }
  }
  return windows.map(({ pieces }) => pieces);
}

const roomsOf = (windows: number[][], lengths: number[], capacity: number): number[] =>
  windows.map((window) => capacity - window.reduce((sum, piece) => sum + lengths[piece]!, 0)).sort((a, b) => a - b);

describe('best-fit packing', () => {
  test('puts each piece where it leaves the least room', () => {
    expect(windowsOf([3, 7, 5, 2, 3, 10], 10)).toEqual([[5], [0, 1], [2, 3, 4]].map((window) => [...window]));
    expect(windowsOf([10, 10, 1], 10)).toEqual([[0], [1], [2]]);
    expect(windowsOf([], 10)).toEqual([]);
  });

  test('packs every piece once, overfills no window, and is as good as the plain algorithm', () => {
    let shared = 0;
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 37 })
          .chain((capacity) =>
            fc.tuple(fc.constant(capacity), fc.array(fc.integer({ min: 1, max: capacity }), { maxLength: 60 })),
          ),
        ([capacity, lengths]) => {
          const windows = windowsOf(lengths, capacity);
          expect(windows.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, piece) => piece));
          const rooms = roomsOf(windows, lengths, capacity);
          expect(Math.min(0, ...rooms)).toBe(0);
          expect(rooms).toEqual(roomsOf(plainBestFit(lengths, capacity), lengths, capacity));
          shared += windows.filter((window) => window.length > 1).length;
        },
      ),
      { numRuns: 300 },
    );
    expect(shared).toBeGreaterThan(300);
  });

  test('is quick for many short pieces in long windows', () => {
    const lengths = Uint32Array.from({ length: 300_000 }, (_, i) => 1 + ((i * 7919) % 29));
    const startMs = performance.now();
    const { firstPiece } = bestFit(lengths, 8192);
    expect(performance.now() - startMs).toBeLessThan(2000);
    const total = lengths.reduce((sum, length) => sum + length);
    expect(firstPiece.length - 1).toBe(Math.ceil(total / 8192));
  });
});
