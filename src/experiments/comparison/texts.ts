/** Numbers and lists in sentences. */

/** A loss or a difference of losses: four decimals, or two digits of less; rounding errors are 0. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  return size >= 5e-4 || size < 1e-9 ? value.toFixed(4).replace(/^-(?=0\.0000$)/, '') : value.toPrecision(2);
}

/** A rounded number, e.g. 61,234. */
export const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `a, b and 12 more`: long lists say how many they leave out. */
export function listed(texts: readonly string[], most = 3): string {
  const separator = texts.some((text) => text.includes(',')) ? '; ' : ', ';
  if (texts.length > most + 1) return `${texts.slice(0, most).join(separator)} and ${texts.length - most} more`;
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(separator)} and ${texts.at(-1)}`;
}
