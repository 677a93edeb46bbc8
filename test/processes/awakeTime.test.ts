/** Waiting for other processes, in which the time of Ctrl-Z does not count. */
import { afterEach, expect, it, vi } from 'vitest';
import { afterAwake } from '../../src/processes/awakeTime.ts';

afterEach(() => void vi.useRealTimers());

it('waits for as long as the process runs', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  let nowMs = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  /** A tick of the timers that comes so much later. */
  const tickAfter = (ms: number): void => {
    nowMs += ms;
    vi.advanceTimersByTime(200);
  };
  let times = 0;
  const end = afterAwake(4000, () => times++);
  for (let i = 0; i < 10; i++) tickAfter(200);
  tickAfter(3_600_000); // stopped for an hour: counted as one second
  expect(times).toBe(0);
  for (let i = 0; i < 4; i++) tickAfter(200);
  expect(times).toBe(0);
  for (let i = 0; i < 9; i++) tickAfter(200);
  expect(times).toBe(1);
  end();
  clock.mockRestore();
});
