/** What is said last, while descriptor 2 is turned away. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

it('openStderr writes to what stderr was, also while it leads nowhere', () => {
  const file = new URL('../../dist/runtime/libc.js', import.meta.url).href;
  const code = `
    const { openStderr, withQuietStderr } = await import('${file}');
    const { writeSync } = await import('node:fs');
    const say = openStderr();
    withQuietStderr(() => { say('said'); writeSync(2, 'turned away'); });
    say(' again');`;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  expect([stderr, status]).toEqual(['said again', 0]);
});
