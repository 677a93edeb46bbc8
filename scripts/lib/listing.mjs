/** The scripts of a folder, and what the comments at their tops say: their help and their lines in lists. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const scriptsFolder = path.dirname(import.meta.dirname);

/**
 * @typedef {object} Script
 * @property {string} name what is typed after `npm run check --`
 * @property {string} group the folder it is in, from scripts/
 * @property {string} file absolute
 */

/**
 * The scripts of a folder and of its subfolders; a subfolder named after a script holds its parts and is left out.
 * @param {string} folder below scripts/
 * @returns {Script[]}
 */
export function scriptsOf(folder) {
  const entries = readdirSync(path.join(scriptsFolder, folder)).sort();
  return entries.flatMap((entry) => {
    const file = path.join(scriptsFolder, folder, entry);
    if (statSync(file).isDirectory())
      return entries.includes(`${entry}.mjs`) ? [] : scriptsOf(path.join(folder, entry));
    return entry.endsWith('.mjs') ? [{ name: path.basename(entry, '.mjs'), group: folder, file }] : [];
  });
}

/** The comment at the top of a script, without its marks. @param {string} file */
export function helpOf(file) {
  const [, comment] = /^(\/\*\*[^]*?\*\/|(?:\/\/.*\n)+)/.exec(readFileSync(file, 'utf8')) ?? [];
  if (comment === undefined) throw new Error(`${file} does not begin with a comment that says what it does`);
  return comment.replaceAll(/^\/\*\*|\*\/$|^ ?(?:\*|\/\/)(?: |$)/gm, '').trim();
}

/**
 * What the comment of a script says first: what it does; and in its paragraph "Time: …", how long it takes.
 * @param {string} file
 */
export function headerOf(file) {
  const paragraphs = helpOf(file).split(/\n\s*\n/);
  const line = (/** @type {string} */ paragraph) => paragraph.replaceAll(/\s+/g, ' ');
  const time = /^Time: ([^]+)$/m.exec(paragraphs.find((paragraph) => paragraph.startsWith('Time: ')) ?? '')?.[1];
  return { summary: line(paragraphs[0]), time: time && line(time) };
}
