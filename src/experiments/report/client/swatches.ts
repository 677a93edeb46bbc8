/** Report client, runs in the browser: the colour, the dashes and the number by which a setting is known everywhere. */
/// <reference lib="dom" />

/** Each has a contrast of at least 3 to the white and to the dark page (WCAG 1.4.11). */
const palette = '#0072b2 #d55e00 #009e73 #c2649a #b38600 #8a63d2 #1f8fcf #d6336c #3d8b40 #6b7280'.split(' ');

export const colourOf = (setting: number): string => palette[setting % palette.length]!;

/** Neighbours differ in their dashes too, so that colour alone never tells them apart. */
export const dashOf = (setting: number): number[] => [[], [9, 4], [2, 3], [10, 3, 2, 3]][setting % 4]!;

/** A piece of a setting's line for the legend and the table. */
export function swatch(setting: number): SVGElement {
  const space = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(space, 'svg');
  const line = document.createElementNS(space, 'path');
  for (const [name, value] of Object.entries({
    width: '30',
    height: '10',
    viewBox: '0 0 30 10',
    'aria-hidden': 'true',
  }))
    picture.setAttribute(name, value);
  for (const [name, value] of Object.entries({
    d: 'M0 5H30',
    stroke: colourOf(setting),
    'stroke-width': '3',
    'stroke-dasharray': dashOf(setting).join(' '),
  }))
    line.setAttribute(name, value);
  picture.setAttribute('class', 'swatch');
  picture.append(line);
  return picture;
}
