/** Words of the commands that messages propose: a shell takes them as the program got them. */

/** A text as one word of a POSIX shell, in quotes if it needs them. */
export function shellWord(text: string): string {
  if (/^(?![~=])[\p{L}\p{M}\p{N}_./:@%+=,~-]+$/u.test(text)) return text;
  if (!/\p{Cc}/u.test(text)) return `'${text.replaceAll("'", String.raw`'\''`)}'`;
  // Control characters would be invisible, or change the terminal.
  const escaped = text.replace(/[\\']|\p{Cc}/gu, (character) =>
    /[\\']/.test(character) ? `\\${character}` : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `$'${escaped}'`;
}

/** A path as one word that is not taken for an option, either. */
export const shellPath = (path: string): string => shellWord(path.startsWith('-') ? `./${path}` : path);
