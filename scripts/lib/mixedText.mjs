/**
 * Varied text for checks of tokenizers: prose, code and Markdown of the installed packages, every script of Unicode,
 * emoji, whitespace of all kinds, random bytes read as UTF-8. The same for the same packages and seed.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { root } from './clm.mjs';
import { mobyDick } from './mobyDick.mjs';

/** A small generator (xorshift32) of numbers in [0, below). @param {number} seed */
export function randomNumbers(seed) {
  let state = seed >>> 0 || 1;
  return (/** @type {number} */ below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** @typedef {(below: number) => number} RandomNumbers */

/**
 * Documents of 1 to about 20,000 characters, together at least `bytes` of UTF-8; half of the bytes are files.
 * @param {number} bytes
 */
export function* mixedDocuments(bytes, seed = 1) {
  const random = randomNumbers(seed);
  const files = globSync(['node_modules/**/*.{md,js,ts,json,txt,py,h,cc,css,html}'], { cwd: root, dot: false }).sort();
  const kinds = [file, file, file, scripts, words, whitespace, randomBytes, emoji];
  let made = 0;
  while (made < bytes) {
    const text = kinds[random(kinds.length)](random, files);
    if (text.length === 0) continue;
    made += Buffer.byteLength(text);
    yield text;
  }
}

/** A part of an installed file. @param {RandomNumbers} random @param {string[]} files */
function file(random, files) {
  try {
    const text = readFileSync(path.join(root, files[random(files.length)]), 'utf8');
    const start = random(Math.max(1, text.length - 20_000));
    return Buffer.from(text.slice(start, start + 20_000)).toString(); // a half surrogate at an end becomes U+FFFD
  } catch {
    return '';
  }
}

/** @type {string | undefined} */
let prose;
/** A part of Moby-Dick, spelt in one of several ways. @param {RandomNumbers} random */
function words(random) {
  prose ??= mobyDick().toString();
  const start = random(Math.max(1, prose.length - 5000));
  const cut = prose.slice(start, start + 5000);
  /** @type {((text: string) => string)[]} */
  const spelt = [
    (text) => text,
    (text) => text.toUpperCase(),
    (text) => text.replaceAll(' ', '  '),
    (text) => text.replaceAll("'", '’'),
  ];
  return spelt[random(spelt.length)](cut).replaceAll(/\b(\w+) (\w)/g, (all, a, b) =>
    random(20) === 0 ? `${a}'${['S', 're', 'LL', 'd', 'ſ', 've'][random(6)]} ${b}` : all,
  );
}

/** Runs of a few characters from one place of Unicode after the other. @param {RandomNumbers} random */
function scripts(random) {
  let text = '';
  const pieces = 40 + random(200);
  for (let i = 0; i < pieces; i++) {
    const first = random(8) === 0 ? random(0x110000) : random(0x3000);
    for (let n = random(12); n >= 0; n--) {
      const code = first + random(40);
      if (code < 0x110000 && (code < 0xd800 || code > 0xdfff)) text += String.fromCodePoint(code);
    }
    text += ['', ' ', ' ', '\n', "'", '1', '…'][random(7)];
  }
  return text;
}

/** @param {RandomNumbers} random */
function whitespace(random) {
  const pieces = [
    ...[' ', ' ', '  ', '\n', '\r\n', '\r', '\t', '\v', '\f'],
    ...['\u00a0', '\u2003', '\u3000', '\u0085', '\u2028', '\ufeff'],
    ...['a', 'Ж', '1', '23', '漢', '.', '!?', "'s", "'", '/', '_'],
  ];
  let text = '';
  for (let n = 200 + random(600); n > 0; n--) text += pieces[random(pieces.length)];
  return text;
}

/** @param {RandomNumbers} random */
const randomBytes = (random) =>
  Buffer.from(Uint8Array.from({ length: 100 + random(1500) }, () => random(256))).toString();

/** @param {RandomNumbers} random */
function emoji(random) {
  let text = '';
  for (let n = 50 + random(200); n > 0; n--) {
    text +=
      String.fromCodePoint(0x1f300 + random(0x400)) +
      ['', '\u200d', '\ufe0f', '\u{1f3fd}', ' ', 'e\u0301', '한', 'क्षि'][random(8)];
  }
  return text;
}
