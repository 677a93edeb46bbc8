/** zstd files of every make are read whole and right, or refused by what is wrong with them. */
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { openContent } from '../../../src/data/files/content.ts';
import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { zstdChunks, zstdPages } from '../../../src/data/files/zstdFrames.ts';
import { all, folderOf, rejection } from '../texts.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const u24 = (value: number): Buffer => Buffer.from([value & 255, (value >> 8) & 255, value >> 16]);

/** A frame whose header after the magic number is `header`, with `text` in one raw block. */
const frame = (header: string, text: string, isLast = true): Buffer =>
  Buffer.concat([hex(`28b52ffd ${header}`), u24((text.length << 3) | Number(isLast)), Buffer.from(text)]);

async function contentOf(bytes: Uint8Array, chunkBytes = bytes.length): Promise<string> {
  async function* file() {
    for (let i = 0; i < bytes.length; i += chunkBytes) yield bytes.subarray(i, i + chunkBytes);
  }
  return Buffer.concat(await all(zstdChunks(file()))).toString();
}

test('text that repeats 104 MB back comes out right', async () => {
  const hash = createHash('sha256');
  for await (const chunk of zstdChunks(createReadStream(fixture('repeats-far-back.txt.zst')))) hash.update(chunk);
  expect(hash.digest('hex')).toBe('07b29fcc3bf980b3ef95896f2f3e2509ea5ca86aeb312d2607ffaa043612422a');
});

test('frames of every header, skippable ones among them, in pieces of any size', async () => {
  const file = Buffer.concat([
    hex('5f2a4d18 03000000 ffffff'),
    frame('20 03', 'one'),
    hex('502a4d18 00000000'),
    frame('00 00', ' two'),
    hex('28b52ffd 00 00 010000'), // an empty block
    hex('28b52ffd 00 00 2b0000 78'), // "x", five times
    frame('a0 06000000', ' three'),
    frame('e0 0500000000000000', ' four'),
    frame('01 88 00', ' 128 MiB'),
    hex('512a4d18 02000000 ffff'),
  ]);
  for (const size of [1, 2, 3, 5, 7, 1000]) expect(await contentOf(file, size)).toBe('one twoxxxxx three four 128 MiB');
  const path = join(await folderOf({ 'a.txt.zst': file }), 'a.txt.zst');
  const corpus = await openCorpus({ sources: [{ path }], validation: { tail: 0.1 }, shuffleTokens: 1024 });
  expect(corpus.bytes).toBe(31);
});

/** 128 KiB of "x" and 1,024 times as much again: more than 128 MiB. */
const repeated = hex('02001078');
const longFrame = (header: string): Buffer =>
  Buffer.concat([hex(`28b52ffd ${header}`), ...Array<Buffer>(1025).fill(repeated), hex('010000')]);

test('a larger window than clm has is none of its business while the text is shorter', async () => {
  // As `zstd --long=31` writes a short text that comes through a pipe.
  expect(await contentOf(Buffer.concat([frame('00 a8', 'text'), frame('00 89', ' and more')]))).toBe('text and more');
  if (spawnSync('zstd', ['--version']).error) return;
  const text = 'far apart '.repeat(40_000);
  const file = spawnSync('zstd', ['--long=31', '-c'], { input: text, maxBuffer: 1 << 24 }).stdout;
  expect([file[5]! >>> 3, await contentOf(file)]).toEqual([21, text]);
});

test.each<[string, Buffer, string]>([
  ['a window of 2 GiB', longFrame('00 a8'), 'a window of 2 GiB, which is more than clm reads (128 MiB)'],
  ['a window just too large', longFrame('00 89'), 'zstd -d --long=28'],
  ['2 GiB in one segment', frame('a0 00000080', 'text'), 'a window of 2 GiB'],
  ['a dictionary', frame('01 00 07', 'text'), 'was compressed with a dictionary'],
])('%s is named, not called damage', async (_, bytes, message) => {
  const path = join(await folderOf({ 'a.txt.zst': bytes }), 'a.txt.zst');
  const { message: said } = await rejection(
    openCorpus({ sources: [{ path }], validation: { tail: 0.1 }, shuffleTokens: 1024 }),
  );
  expect(said).toContain(message);
  expect(said).toContain(path);
  expect(said).not.toContain('damaged');
});

const whole = readFileSync(fixture('checksum.txt.zst'));
const flipped = (at: number): Buffer => {
  const bytes = Buffer.from(whole);
  bytes[bytes.length + at]! ^= 1;
  return bytes;
};

test.each<[string, Buffer, string]>([
  ['a wrong checksum', flipped(-1), 'checksum'],
  ['less text than its header says', frame('20 05', 'text'), 'block'],
  ['more text than its header says', frame('20 03', 'text'), 'block'],
  ['a block of the reserved kind', hex('28b52ffd 00 00 070000'), 'block'],
  ['the end inside a header', hex('28b52ffd 00'), 'ends'],
  ['the end between blocks', frame('00 00', 'text', false), 'ends'],
  ['the end inside a skippable frame', hex('502a4d18 05000000 00'), 'ends'],
  ['other bytes after the frame', Buffer.concat([frame('20 04', 'text'), Buffer.from('more')]), 'no zstd frame'],
])('%s is damage, named', async (_, bytes, message) => {
  const { message: said } = await rejection(contentOf(bytes));
  expect(said).toContain(message);
});

test('no flipped bit gives other text', async () => {
  const text = await contentOf(whole);
  for (let at = 4; at < whole.length; at++) {
    const result = await contentOf(flipped(at - whole.length)).catch(() => text);
    expect(result, `byte ${at}`).toBe(text);
  }
});

test('files read in turns, and left before their end, do not disturb each other', async () => {
  const texts = ['a', 'b'].map((letter) => [
    frame('00 00', letter.repeat(900), false),
    frame('00 00', letter.repeat(900)).subarray(6),
  ]);
  const folder = await folderOf(Object.fromEntries(texts.map((parts, i) => [`${i}.zst`, Buffer.concat(parts)])));
  const contents = await Promise.all(
    [0, 1, 0].map((i) => openContent({ path: join(folder, `${i}.zst`), compression: 'zstd' })),
  );
  const got = ['', '', ''];
  const buffer = new Uint8Array(70);
  for (let byte = 0; byte < 1800; ) {
    let read = 0;
    for (const [i, content] of contents.entries()) {
      if (i === 2 && byte > 500) await content.close();
      else {
        read = await content.read(buffer, 0, 70, byte);
        got[i] += Buffer.from(buffer.subarray(0, read)).toString();
      }
    }
    byte = got[0]!.length;
  }
  expect(got.slice(0, 2)).toEqual(['a'.repeat(1800), 'b'.repeat(1800)]);
});

test('more windows at once than fit in memory are named, and room is free again afterwards', async () => {
  const bytes = frame('00 88', 'a'.repeat(9), false);
  const open: AsyncGenerator<Uint8Array, void, void>[] = [];
  async function* file() {
    yield bytes;
  }
  const start = async () => {
    open.push(zstdChunks(file()));
    return open.at(-1)!.next();
  };
  const fill = async () => {
    for (let i = 0; i < 40; i++) await start();
  };
  expect((await rejection(fill())).message).toContain('needs 128 MiB of memory for its window');
  for (const chunks of open) await chunks.return();
  expect(Buffer.from((await start()).value!).toString()).toBe('a'.repeat(9));
});

test('a page of a Parquet file must have its length', async () => {
  const decompress = await zstdPages();
  expect(Buffer.from(decompress(frame('20 04', 'text'), 4)).toString()).toBe('text');
  expect(() => decompress(frame('20 04', 'text'), 5)).toThrow('page');
  expect(() => decompress(frame('20 05', 'text'), 5)).toThrow('page');
});
