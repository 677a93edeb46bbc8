/** Text of which some parts count towards the loss: in colour on a terminal that has it, else between marks. */
import type { TextPart } from '../../data/check/learntExample.ts';
import { wantsColour } from './abilities.ts';
import { escapeControls, paint } from './output.ts';

/** How what counts is shown, e.g. "in green". */
export const learntLegend = (): string => (wantsColour(process.stdout) ? 'in green' : 'between ⟦ and ⟧');

/** More characters would fill the terminal. */
const shownCharacters = 2000;

/** The beginning of a text, for `printPainted`. */
export function learntText(parts: readonly TextPart[]): string {
  let room = shownCharacters;
  const shown = parts.map(({ text, learnt }) => {
    const kept = escapeControls(text.slice(0, room));
    room -= Math.min(room, text.length);
    if (!learnt || kept === '') return kept;
    return wantsColour(process.stdout) ? paint('green', kept) : `⟦${kept}⟧`;
  });
  const length = parts.reduce((sum, { text }) => sum + text.length, 0);
  if (length > shownCharacters) shown.push(`… (${length - shownCharacters} more characters)`);
  return shown.join('');
}
