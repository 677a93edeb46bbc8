/** An evaluation that is shared out among processes. */
import { expect, it } from 'vitest';
import { recordEvaluation } from '../../../src/training/step/evaluation.ts';
import { exchangingSessions } from '../processes/exchangingSessions.ts';
import { randomMicroBatch, tinyConfig } from '../tinyRun.ts';

const sumOf = (inputs: Int32Array): number => inputs.reduce((sum, token, i) => sum + Math.sin(token * (i + 1)), 0);

it('evaluates the same with any number of processes, and ends in all if it is broken off in one', async () => {
  const config = tinyConfig();
  const tokenizer = { byteLengths: new Int32Array(13).fill(1) } as never;
  const stopping = new AbortController();
  /** @param abortAt the micro-batch at which rank 0 is stopped */
  const evaluatedBy = async (processes: number, abortAt = Infinity) => {
    const told: number[] = [];
    const results = exchangingSessions(processes, (inputs) => [sumOf(inputs)], told).map(async (session, rank) => {
      const microBatches = async function* () {
        for (let i = 0; i < 7; i++) {
          if (i === abortAt && rank === 0) stopping.abort();
          yield randomMicroBatch(config, i);
        }
      };
      const signal = rank === 0 ? stopping.signal : undefined;
      return recordEvaluation(session, config, [], 3)(microBatches(), tokenizer, signal);
    });
    return { results: await Promise.all(results), told };
  };
  const [alone, shared] = [await evaluatedBy(1), await evaluatedBy(4)];
  expect(shared.results).toEqual(Array(4).fill(alone.results[0]));
  expect(alone.results[0]).toMatchObject({ tokens: 7 * 15 });
  expect(shared.told.sort()).toEqual([0, 0, 1, 1, 2, 2, 3]);
  const brokenOff = await evaluatedBy(2, 3);
  expect(brokenOff.results).toEqual([null, null]);
  expect(brokenOff.told.filter((rank) => rank === 0)).toEqual([0, 0]);
});
