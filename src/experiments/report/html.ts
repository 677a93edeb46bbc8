/** Text as HTML that shows exactly that text. Whatever a run has written must go through here. */
export const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
