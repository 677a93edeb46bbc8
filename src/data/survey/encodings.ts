/**
 * In which encoding a text file is. clm reads UTF-8 only; other files are told apart, so that a copy can be made of
 * them that is UTF-8 (utf8Copy.ts). A guess is made from letters that are frequent in every text of a language.
 */
import { isUtf8 } from 'node:buffer';
import { wholeCharacterBytes } from '../utf8.ts';

type Candidate = readonly [label: string, frequent: RegExp];

/** Encodings (labels of https://encoding.spec.whatwg.org), each with letters that a text in it is full of. */
const latin: readonly Candidate[] = [
  ['windows-1252', /[éèêàâùûçîôëïäöüßñáíóúãõåøæ’“”–—…«»]/gu],
  ['windows-1250', /[ąćęłńśźżěščřžýůűő]/gu],
];
const others: readonly Candidate[] = [
  ['windows-1251', /[оеаинтсрвлкмдпу]/gu],
  ['koi8-r', /[оеаинтсрвлкмдпу]/gu],
  ['shift_jis', /[のにはをたがでとしい。、]/gu],
  ['euc-jp', /[のにはをたがでとしい。、]/gu],
  ['gb18030', /[的一是不了在人有我他这中。，]/gu],
  ['big5', /[的一是不了在人有我他這中。，]/gu],
  ['euc-kr', /[이다는의에가을고하지]/gu],
];

/**
 * @param bytes a piece of the file, from its start or around the first byte that is not UTF-8
 * @returns a label of the Encoding Standard, or null if this is not text
 */
export function encodingOf(bytes: Uint8Array): string | null {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  const zeros = [0, 0];
  let controls = 0;
  for (const [at, byte] of bytes.entries()) {
    if (byte === 0) zeros[at % 2]!++;
    else if (byte < 0x09 || (byte > 0x0d && byte < 0x1b) || (byte > 0x1b && byte < 0x20)) controls++;
  }
  if (zeros[1]! > bytes.length / 8 && zeros[0]! < zeros[1]! / 8) return 'utf-16le';
  if (zeros[0]! > bytes.length / 8 && zeros[1]! < zeros[0]! / 8) return 'utf-16be';
  if (zeros[0]! + zeros[1]! > 0 || controls > bytes.length / 100) return null;
  const whole = bytes.subarray(0, wholeCharacterBytes(bytes, bytes.length));
  return isUtf8(whole) ? 'utf-8' : likeliest(bytes);
}

/** In Latin scripts most letters are ASCII, and the others stand alone. */
function isLatin(bytes: Uint8Array): boolean {
  let [high, alone] = [0, 0];
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at]! < 0x80) continue;
    high++;
    if (!(bytes[at - 1]! >= 0x80) && !(bytes[at + 1]! >= 0x80)) alone++;
  }
  return alone > high / 2;
}

/** As a stream, because Node 20 takes windows-1252 for Latin-1 otherwise. */
const decodedIn = (label: string, bytes: Uint8Array): string => new TextDecoder(label).decode(bytes, { stream: true });

function likeliest(bytes: Uint8Array): string {
  const scored = (isLatin(bytes) ? latin : others).map(([label, frequent]) => {
    const text = decodedIn(label, bytes);
    const foreign = text.match(/[^\p{ASCII}]/gu)?.length ?? 1;
    const bad = text.match(/\uFFFD/g)?.length ?? 0;
    return { label, score: ((text.match(frequent)?.length ?? 0) - 4 * bad) / foreign };
  });
  return scored.reduce((best, each) => (each.score > best.score + 0.001 ? each : best)).label;
}

/** What the bytes say in an encoding, from a few words before `at`; one line. */
export function excerptIn(label: string, bytes: Uint8Array, at: number): string {
  const isWide = label.startsWith('utf-16');
  const start = isWide ? 0 : Math.max(0, at - 20);
  const text = decodedIn(label, bytes.subarray(start, start + (isWide ? 120 : 60)));
  return text.replace(/\s+/g, ' ').slice(0, 50).trim();
}

/** Whether there is an encoding of that name. */
export function isEncoding(label: string): boolean {
  try {
    return new TextDecoder(label).encoding !== 'replacement';
  } catch {
    return false;
  }
}
