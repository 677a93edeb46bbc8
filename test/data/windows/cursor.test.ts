import { describe, expect, test } from 'vitest';

import { checkCursor, parseCursor, startCursor } from '../../../src/data/windows/cursor.ts';
import { ExpectedError } from '../../../src/errors.ts';

const corpus = { training: { startByte: 0, endByte: 1009 } };
const cursor = { ...startCursor(corpus), epoch: 2, block: 3, startByte: 101, windowsTaken: 5 };

function errorOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ExpectedError);
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('a cursor read from disk', () => {
  test('is the one that was written', () => {
    expect(parseCursor(JSON.parse(JSON.stringify(cursor)), 'state.json')).toEqual(cursor);
  });

  test.each([
    ['missing', undefined, '"cursor"'],
    ['of another version', { ...cursor, version: 2 }, '"cursor.version"'],
    ['with a negative number', { ...cursor, block: -1 }, '"cursor.block"'],
    ['with a fraction', { ...cursor, windowsTaken: 1.5 }, '"cursor.windowsTaken"'],
    ['with a text', { ...cursor, epoch: '1' }, '"cursor.epoch"'],
    ['with a number that is not exact', { ...cursor, startByte: 2 ** 60 }, '"cursor.startByte"'],
    ['with an unknown key', { ...cursor, extra: 1 }, '"extra"'],
  ])('is refused when it is %s', (_, value, message) => {
    const error = errorOf(() => parseCursor(value, 'state.json'));
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^state\.json is damaged: .* Resume from another checkpoint\.$/);
  });
});

describe('a cursor against a corpus', () => {
  test('fits the corpus it was made with', () => {
    expect(() => checkCursor(cursor, corpus)).not.toThrow();
  });

  test('of another length is wrong input', () => {
    expect(errorOf(() => checkCursor(cursor, { training: { startByte: 0, endByte: 1008 } })).message).toBe(
      'The training text has 1008 bytes, but this run began with 1009. ' +
        'Restore the corpus to resume the run, or start a new run.',
    );
  });

  test.each([
    { ...cursor, startByte: 1009 },
    { ...cursor, block: 0 },
  ])('that names no position of the training text is wrong input: %j', (cursor) => {
    expect(errorOf(() => checkCursor(cursor, corpus)).message).toContain('is outside of the training text');
  });
});
