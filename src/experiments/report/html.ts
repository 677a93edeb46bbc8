/** Text as HTML that shows exactly that text. Everything that comes from a run must go through here. */
export const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
