/** The known name that a misspelt word is meant to be. */
import { distance } from 'fastest-levenshtein';

/** The known names that differ in few letters, nearest first; two letters in the wrong order count as one. */
export function nearest(word: string, known: readonly string[], simplified = (name: string): string => name): string[] {
  const wanted = simplified(word);
  const near = known
    .map((name) => ({ name, edits: editsBetween(wanted, simplified(name)) }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.floor(Math.min(name.length, word.length) / 3)));
  return near.sort((a, b) => a.edits - b.edits).map(({ name }) => name);
}

function editsBetween(a: string, b: string): number {
  const edits = distance(a, b);
  const sorted = (text: string): string => [...text].sort().join('');
  return edits === 2 && a.length === b.length && sorted(a) === sorted(b) ? 1 : edits;
}
