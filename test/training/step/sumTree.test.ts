/** The tree of sums must be the same however many processes share it out; symbols show the order of every addition. */
import { describe, expect, it } from 'vitest';
import { refuseIndivisible, stepShare } from '../../../src/training/step/stepShare.ts';
import { accumulation, sumsOf, sumTree } from '../../../src/training/step/sumTree.ts';

/** A sum of two, which is the same in either order. */
const plus = (a: string, b: string): string => `(${[a, b].sort().join('+')})`;

/** What processes that each add up their micro-batches have after exchanging sums in pairs. */
function summedBy(processes: number, microBatches: number): string {
  const { inOrder } = sumTree(microBatches);
  const training = { microBatchesPerStep: microBatches, microBatchSize: 1 };
  const perProcess = Array.from({ length: processes }, (_, rank) => {
    const share = stepShare(training, 1, rank, processes);
    const tree = { inOrder, blocks: share.microBatches / inOrder };
    const sums: string[] = [];
    let most = 0;
    for (let i = 0; i < share.microBatches; i++) {
      const { adds, into } = accumulation(tree, i);
      expect(into + adds).toBe(sums.length);
      const added = sums.splice(into).reverse();
      sums.push(added.reduce(plus, `g${share.firstMicroBatch + i}`));
      most = Math.max(most, sums.length);
    }
    expect([most, sums.length]).toEqual([sumsOf(tree), 1]);
    return sums[0]!;
  });
  let values = perProcess;
  for (let distance = 1; distance < processes; distance *= 2)
    values = values.map((value, rank) => plus(value, values[rank ^ distance]!));
  expect(new Set(values).size).toBe(1);
  return values[0]!;
}

describe('the tree of sums', () => {
  it.each([1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 64])('of %d micro-batches is the same for all processes', (count) => {
    const alone = summedBy(1, count);
    for (let i = 0; i < count; i++) expect(alone.split(new RegExp(`g${i}\\b`))).toHaveLength(2); // each once
    for (let processes = 2; count % processes === 0; processes *= 2) expect(summedBy(processes, count)).toBe(alone);
  });

  it('needs a sum a level, and one for what is added in order', () => {
    const counts = [1, 2, 3, 4, 6, 8, 12, 1024];
    expect(counts.map((count) => sumsOf(sumTree(count)))).toEqual([1, 1, 1, 2, 2, 3, 3, 8]);
  });
});

describe('the share of a process', () => {
  it('is branches of a micro-batch where processes outnumber the micro-batches', () => {
    const training = { microBatchesPerStep: 2, microBatchSize: 8 };
    const shares = Array.from({ length: 8 }, (_, rank) => stepShare(training, 4, rank, 8));
    expect(shares.map(({ firstMicroBatch, firstBranch }) => [firstMicroBatch, firstBranch])).toEqual([
      ...[0, 1, 2, 3].map((branch) => [0, branch]),
      ...[0, 1, 2, 3].map((branch) => [1, branch]),
    ]);
    expect(shares.every(({ microBatches, branches }) => microBatches === 1 && branches === 1)).toBe(true);
  });

  it.each([
    [{ microBatchesPerStep: 3, microBatchSize: 1 }, 2, /training\.microBatchesPerStep is 3, .* among 1 process:/],
    [{ microBatchesPerStep: 6, microBatchSize: 1 }, 3, /among 1, 2 processes.*Set .* to a multiple of 4\./],
    [{ microBatchesPerStep: 6, microBatchSize: 8 }, 4, /among 1, 2 processes/],
    [{ microBatchesPerStep: 1, microBatchSize: 8 }, 4, /each of 2 branches \(training\.branches.*among 1, 2 processes/],
  ])('%o is refused for %d processes', (training, processes, message) => {
    expect(() => refuseIndivisible({ ...training, branches: 2 }, processes)).toThrow(message);
  });

  it.each([
    [{ microBatchesPerStep: 4, microBatchSize: 1 }, 4],
    [{ microBatchesPerStep: 2, microBatchSize: 8 }, 4],
    [{ microBatchesPerStep: 6, microBatchSize: 8 }, 2],
    [{ microBatchesPerStep: 3, microBatchSize: 8 }, 1],
  ])('%o is taken for %d processes', (training, processes) => {
    expect(() => refuseIndivisible({ ...training, branches: 2 }, processes)).not.toThrow();
  });
});
