import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { watchForStops } from '../../src/sampling/stopTexts.ts';

function feed(stops: string[], pieces: string[]): { shown: string; stopped: boolean } {
  const watcher = watchForStops(stops);
  let shown = '';
  for (const piece of pieces) {
    const { text, stopped } = watcher.push(piece);
    shown += text;
    if (stopped) return { shown, stopped };
  }
  return { shown: shown + watcher.end(), stopped: false };
}

describe('stop texts', () => {
  it('are found across pieces, and never shown in part', () => {
    const watcher = watchForStops(['\n\nQ:']);
    expect(watcher.push('yes\n')).toEqual({ text: 'yes', stopped: false });
    expect(watcher.push('\n')).toEqual({ text: '', stopped: false });
    expect(watcher.push('Q')).toEqual({ text: '', stopped: false });
    expect(watcher.push(': why')).toEqual({ text: '', stopped: true });
  });

  it('release text that turns out not to be one', () => {
    expect(feed(['abc'], ['ab', 'ab', 'd'])).toEqual({ shown: 'ababd', stopped: false });
    expect(feed(['abc'], ['xab'])).toEqual({ shown: 'xab', stopped: false });
  });

  it('end the text where indexOf finds the first one, however the text is cut into pieces', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 14 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), {
      maxLength: 2,
    });
    let found = 0;
    fc.assert(
      fc.property(letters, stops, fc.integer({ min: 1, max: 3 }), (text, stopTexts, size) => {
        const pieces = text.match(new RegExp(`.{1,${size}}`, 'g')) ?? [];
        const { shown, stopped } = feed(stopTexts, pieces);
        expect(stopped).toBe(stopTexts.some((stop) => text.includes(stop)));
        if (stopped) found++;
        // The first complete one ends the text, so the text shown contains none.
        expect(text.startsWith(shown)).toBe(true);
        if (!stopped) expect(shown).toBe(text);
        for (const stop of stopTexts) expect(shown.includes(stop)).toBe(false);
      }),
    );
    expect(found).toBeGreaterThan(10);
  });
});
