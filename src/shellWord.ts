/** Quotes a text for the commands that messages propose. */

/** A text as one word of a POSIX shell, in quotes if it needs them. */
export const shellWord = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
