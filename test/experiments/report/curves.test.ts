import { describe, expect, it } from 'vitest';
import { bandOf, envelope, onGrid, sharedGrid } from '../../../src/experiments/report/client/curves.ts';
import { colourOf, dashOf } from '../../../src/experiments/report/client/swatches.ts';

const curve = (x: number[], y: number[]) => ({ x: Float64Array.from(x), y: Float32Array.from(y) });
const grid = (...x: number[]) => Float64Array.from(x);

describe('curves on a shared grid', () => {
  it('are interpolated between their points, and null beyond them', () => {
    expect(onGrid(curve([1, 3], [10, 30]), grid(0, 1, 2, 3, 4))).toEqual([null, 10, 20, 30, null]);
    expect(onGrid(curve([2], [7]), grid(1, 2, 3))).toEqual([null, 7, null]);
  });

  it('keep the lowest and highest value between two points of the grid', () => {
    const { low, high } = envelope(curve([0, 1, 2, 3, 10], [5, 99, -4, 5, 5]), grid(0, 5, 10));
    expect(low).toEqual([-4, 5, 5]);
    expect(high).toEqual([99, 5, 5]);
  });

  it('become a mean as far as half of the runs go, and a band from the lowest to the highest', () => {
    expect(
      bandOf(
        [
          [1, 2, null],
          [3, 6, null],
          [5, null, 7],
        ],
        null,
      ),
    ).toEqual({
      mean: [3, 4, null],
      low: [1, 2, 7],
      high: [5, 6, 7],
    });
    expect(bandOf([[1]], [{ low: [0], high: [9] }])).toEqual({ mean: [1], low: [0], high: [9] });
  });

  it('share points evenly over all of them, in logarithms if asked, with their own points if asked', () => {
    const curves = [curve([0, 1], [1, 1]), curve([100], [1])];
    expect([...sharedGrid(curves, 3, false, false)]).toEqual([0, 50, 100]);
    const logarithmic = sharedGrid(curves, 3, true, false);
    expect(logarithmic[1]).toBeCloseTo(10, 9);
    expect([...sharedGrid(curves, 3, false, true)]).toEqual([0, 1, 50, 100]);
    expect([...sharedGrid([], 2, false, true)]).toEqual([0, 1]);
  });
});

it('neighbouring settings differ in colour and in dashes, and every colour is seen on both pages', () => {
  const luminance = (colour: string): number => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const dark = luminance('#15171a');
  for (let i = 0; i < 10; i++) {
    expect(colourOf(i)).not.toBe(colourOf(i + 1));
    expect(dashOf(i)).not.toEqual(dashOf(i + 1));
    expect(1.05 / (luminance(colourOf(i)) + 0.05), colourOf(i)).toBeGreaterThanOrEqual(3);
    expect((luminance(colourOf(i)) + 0.05) / (dark + 0.05), colourOf(i)).toBeGreaterThanOrEqual(3);
  }
});
