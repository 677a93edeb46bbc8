/** How processes of one machine divide its cores. */
import { expect, it } from 'vitest';
import { shareOf } from '../../src/processes/cores.ts';

const places = (cores: readonly number[], count: number, machine = 'a') =>
  Array.from({ length: count }, () => ({ machine, cores }));

it('divides the cores of a machine among its processes', () => {
  const all = [...places([0, 1, 2, 3, 4], 2), ...places([0, 1, 2, 3, 4], 1, 'b')];
  expect(all.map((_, rank) => shareOf(rank, all))).toEqual([
    [0, 1],
    [2, 3, 4],
    [0, 1, 2, 3, 4],
  ]);
});

it('leaves cores as they are that a launcher has given out, or that are too few', () => {
  const given = [...places([0, 1], 1), ...places([2, 3], 1)];
  expect(given.map((_, rank) => shareOf(rank, given))).toEqual([
    [0, 1],
    [2, 3],
  ]);
  const few = places([7], 2);
  expect(shareOf(1, few)).toEqual([7]);
});
