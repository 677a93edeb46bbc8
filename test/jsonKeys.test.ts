import { expect, it } from 'vitest';
import { repeatedKeys } from '../src/jsonKeys.ts';

it('finds the keys that an object itself has twice, however they are spelled', () => {
  expect(repeatedKeys('{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}],"d":"\\"a\\":","e":"a"}')).toEqual([]);
  expect(repeatedKeys('{ "a" : 1 , "\\u0061":{"b":[]}, "b":"}", "b" :\n2,"b":3}')).toEqual(['a', 'b', 'b']);
  expect(repeatedKeys('{"":1,"":2}')).toEqual(['']);
  expect(repeatedKeys('{"a":[{"b":1,"b":{"a":1}},{"b":1}]}', true)).toEqual(['b']);
});
