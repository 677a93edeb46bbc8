import { describe, expect, it } from 'vitest';
import { comparable, fitted } from '../scripts/docs/transcripts.mjs';

describe('a transcript', () => {
  it('is the same after another run: other numbers, widths, units of time, and words of a model', () => {
    const page = (table: string, completion: string, time: string): string =>
      `$ clm runs\n${table}\n\n$ clm sample runs/a\n${completion}\n\n$ clm plan\ndone in ${time}\n\`\`\``;
    expect(comparable('memory 543 MB, in 12 to 31 s')).toBe(comparable('memory 1.1 TB, in 40 s to 3.3 min'));
    const first = page('name  tokens/s\na          1,021', 'Call me\nIsh', '59 s');
    const second = page('name    tokens/s\na        107,021', 'The whale', '2 min 3 s');
    expect(comparable(first)).toBe(comparable(second));
    expect(comparable('step 5: sample\n  | a\nend')).toBe(comparable('step 7: sample\n  | b\n  | c\nend'));
    expect(comparable('to sample: clm sample x\nthe ship\n```')).toBe(
      comparable('to sample: clm sample x\n\nan oar\n```'),
    );
  });

  it('is another where words differ', () => {
    expect(comparable('done: 5 steps')).not.toBe(comparable('stopped: 5 steps'));
    expect(comparable('$ clm sample x\na\n\n$ clm plan\nfits\n```')).not.toBe(
      comparable('$ clm sample x\na\n\n$ clm plan\nyes\n```'),
    );
  });

  it('leaves out what is named and folds long lines, which compares as if it had not', () => {
    expect(fitted('a\nstep 1\nstep 2\nb', /^step/)).toBe('a\n…\nb');
    const long = Array.from({ length: 40 }, (_, i) => `word${i}`).join(' ');
    expect(fitted(long).split('\n').length).toBe(3);
    expect(comparable(fitted(long))).toBe(comparable(long));
    expect(fitted('x'.repeat(500))).toMatch(/^x{116} …$/);
  });
});
