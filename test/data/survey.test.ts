/** What clm init sees of a text: encodings, copies in UTF-8, fields of records, and how much there is of what. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodingOf, excerptIn, isEncoding } from '../../src/data/survey/encodings.ts';
import { likeliestField, textFields } from '../../src/data/survey/fields.ts';
import { firstBadByte, openSource, surveyText } from '../../src/data/survey/survey.ts';
import { writeUtf8Copy } from '../../src/data/survey/utf8Copy.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(path.join(folder(), name), content);
  return path.join(folder(), name);
};
const fixture = (name: string): string => path.join(import.meta.dirname, 'fixtures', name);

/** Bytes of one-byte encodings, by the characters above ASCII that the text has. */
function encoded(text: string, label: string): Uint8Array {
  const decodedByte = (byte: number): string => new TextDecoder(label).decode(Uint8Array.of(byte), { stream: true });
  const byteOf = new Map(Array.from({ length: 256 }, (_, byte) => [decodedByte(byte), byte]));
  return Uint8Array.from(text, (character) => byteOf.get(character)!);
}

describe('the encoding of a text', () => {
  const french = 'Le café est très près d’ici, où l’été dernier nous étions déjà. '.repeat(5);
  const russian = 'Все счастливые семьи похожи друг на друга, каждая несчастна по-своему. '.repeat(5);
  it.each([
    ['utf-8', Buffer.from(french + russian)],
    ['windows-1252', encoded(french, 'windows-1252')],
    ['windows-1251', encoded(russian, 'windows-1251')],
    ['koi8-r', encoded(russian, 'koi8-r')],
    ['utf-16le', Buffer.from(`\uFEFF${russian}`, 'utf16le')],
    ['utf-16le', Buffer.from(french, 'utf16le')], // without a mark
    ['utf-16be', Buffer.from(french, 'utf16le').swap16()],
    ['gb18030', Buffer.from('ced2c3c7b5c4b9e3b3a1cac7d2bbb8f6bac3b5d8b7bda3acd4dad6d0b9fa', 'hex')],
    ['shift_jis', Buffer.from('82b182ea82cd93fa967b8cea82cc83658353836782c582b78142', 'hex')],
  ])('%s', (label, bytes) => {
    expect(encodingOf(bytes)).toBe(label);
  });

  it('is none for what is not text', () => {
    expect(encodingOf(readFileSync(process.execPath).subarray(0, 65_536))).toBe(null);
    expect(encodingOf(Buffer.from('text\0text'))).toBe(null);
    expect([isEncoding('latin1'), isEncoding('klingon')]).toEqual([true, false]);
    expect(excerptIn('windows-1252', encoded(french, 'windows-1252'), 6)).toMatch(/^Le café est/);
  });
});

describe('a copy in UTF-8', () => {
  const latin = encoded('déjà vu\n', 'windows-1252');

  it('of a file is beside it, without compression', async () => {
    const file = write('old.txt.gz', gzipSync(latin));
    const copy = await writeUtf8Copy([{ path: file, compression: 'gzip', encoding: 'windows-1252' }], undefined);
    expect({ copy, text: readFileSync(copy, 'utf8') }).toEqual({
      copy: path.join(folder(), 'old.utf-8.txt'),
      text: 'déjà vu\n',
    });
    const again = writeUtf8Copy([{ path: file, compression: 'gzip', encoding: 'windows-1252' }], undefined);
    expect((await failureOf(again)).message).toContain('exists already');
  });

  it('of a folder has all files, those that were UTF-8 too', async () => {
    mkdirSync(path.join(folder(), 'texts/inner'), { recursive: true });
    const files = [
      { path: write('texts/a.txt', latin), compression: null, encoding: 'windows-1252' },
      { path: write('texts/inner/b.txt', 'naïve'), compression: null, encoding: 'utf-8' },
    ];
    const copy = await writeUtf8Copy(files, `${folder()}/texts/`);
    expect(copy).toBe(path.join(folder(), 'texts-utf-8'));
    expect(readFileSync(path.join(copy, 'a.txt'), 'utf8')).toBe('déjà vu\n');
    expect(readFileSync(path.join(copy, 'inner/b.txt'), 'utf8')).toBe('naïve');
  });

  it('is not there if the encoding is another one', async () => {
    const file = write('old.txt', Uint8Array.of(0x41, 0xff, 0xff, 0x41));
    const failure = await failureOf(writeUtf8Copy([{ path: file, compression: null, encoding: 'gb18030' }], undefined));
    expect(failure.message).toMatch(/old.txt is not gb18030/);
    expect(readdirSync(folder())).toEqual(['old.txt']);
    expect(existsSync(path.join(folder(), 'old.utf-8.txt'))).toBe(false);
  });
});

describe('the fields of records', () => {
  it.each([
    ['jsonl', '{"id":"1","title":"Ab","body":"A long text."}\n{"id":"2","title":null,"body":"Another."}\n', 'body'],
    ['csv', 'id,text,comment\n1,Ab,"A long, long comment"\n2,Cd,\n', 'text'],
    ['tsv', 'n\tnote\n7\tA note\n8\tAnother\n', 'note'],
  ])('of %s that hold text', async (extension, content, likeliest) => {
    const corpus = await openSource({ path: write(`a.${extension}`, content) }, true);
    const fields = await textFields(corpus.files[0]!);
    expect(fields.map(({ name }) => name)).not.toContain('id');
    expect(likeliestField(fields)?.name).toBe(likeliest);
  });

  it('of Parquet', async () => {
    const corpus = await openSource({ path: fixture('table-snappy.parquet') }, true);
    expect((await textFields(corpus.files[0]!)).map(({ name }) => name)).toContain('text');
  });
});

describe('a survey', () => {
  it('counts bytes, characters, documents, rows without text and bad bytes', async () => {
    const rows = write('rows.jsonl', '{"body":"é1"}\n{"body":null}\n{"body":"é2"}\n{"body":"xyz"}\n');
    expect(await surveyText(await openSource({ path: rows, field: 'body' }, true))).toMatchObject({
      ...{ bytes: 9, characters: 7, distinctCharacters: 6, documents: 3, rowsWithoutText: 1, badBytes: 0 },
    });
    const bad = write('bad.txt', Buffer.concat([Buffer.from('abc ä \uFFFD '), Buffer.from([0xff, 0x41, 0xfe])]));
    const corpus = await openSource({ path: bad }, false);
    expect(await surveyText(corpus)).toMatchObject({ badBytes: 2, documents: 1, isWhole: true });
    expect(await firstBadByte(corpus.files)).toMatchObject({ byte: 11, file: { path: bad } });
  });
});
