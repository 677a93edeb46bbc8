/** What clm init makes of a text before it measures anything: files, fields, encodings; asked, told or left to it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { chooseText, type TextOptions } from '../../../../src/cli/commands/train/init/chooseText.ts';
import { typedPath, type Questions } from '../../../../src/cli/commands/train/init/questions.ts';
import { failureOf, useTemporaryFolder } from '../../../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string) => path.join(folder(), name);
const write = (name: string, content: string | Uint8Array): string => {
  mkdirSync(path.dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
  return at(name);
};
const sentence = 'The cat sat on the mat. ';
const latin = Buffer.concat([Buffer.from(sentence.repeat(400)), Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a])]);

/** Answers in their order; an answer that is refused is followed by the next one. */
function answering(...answers: string[]): { questions: Questions; asked: string[] } {
  const asked: string[] = [];
  const ask: Questions['ask'] = async (question, accept) => {
    for (;;) {
      asked.push(question);
      const answer = answers.shift();
      if (answer === undefined) throw new Error(`no answer to ${question}`);
      const accepted = await Promise.resolve(answer)
        .then(accept)
        .catch((error: Error) => void asked.push(error.message));
      if (accepted !== undefined) return accepted;
    }
  };
  return { questions: { ask, close: () => {} }, asked };
}

function choose(typed: string, options: Partial<TextOptions> = {}) {
  const said: string[] = [];
  const nothing = { field: undefined, encoding: undefined, encodingErrors: undefined, questions: undefined };
  return chooseText(typed, { ...nothing, yes: false, say: (line) => said.push(line), ...options }).then((text) => ({
    ...text,
    said,
  }));
}

describe('a file of chats', () => {
  const chat = (turns: object) => `${JSON.stringify({ id: 'a1', messages: turns })}\n`;
  const turns = [
    { role: 'user', content: 'What is two and two?' },
    { role: 'assistant', content: 'Four.' },
  ];
  it('is taken as chats, unless another field is named', async () => {
    const file = write('chats.jsonl', chat(turns).repeat(30));
    for (const field of [undefined, 'messages']) {
      const { source, survey, said } = await choose(file, { field });
      expect(source).toEqual({ messages: 'messages' });
      expect(survey).toMatchObject({
        documents: 30,
        characters: 30 * 'user: What is two and two?\n\nassistant: Four.\n\n'.length,
      });
      expect(said).toEqual(['chats are in the field messages (docs/chat.md); for a text in its place: --field id']);
    }
    expect((await choose(file, { field: 'id' })).source).toEqual({ field: 'id' });
  });

  it('with a field text is a file of texts', async () => {
    const file = write('both.jsonl', `${JSON.stringify({ text: sentence, messages: turns })}\n`.repeat(30));
    expect((await choose(file)).source).toEqual({ field: 'text' });
  });
});

describe('the files of a text', () => {
  it('of a folder of many are a document each; of few, one text', async () => {
    for (let i = 0; i < 21; i++) write(`many/n${i}.md`, sentence.repeat(3));
    for (let i = 0; i < 3; i++) write(`few/n${i}.md`, sentence.repeat(3));
    expect(await choose(at('many'))).toMatchObject({
      hasDocuments: true,
      source: { documents: 'file' },
      survey: { documents: 21 },
    });
    expect(await choose(at('few'))).toMatchObject({
      hasDocuments: false,
      source: {},
      survey: { documents: 1, bytes: 216 },
    });
  });

  it('leave out what is not text or of another format, and say so', async () => {
    write('mixed/in [1]/a.md', sentence.repeat(9));
    write('mixed/b.txt', sentence.repeat(9));
    write('mixed/p.png', Uint8Array.of(137, 80, 78, 71, 0, 0, 0, 1));
    write('mixed/rows.csv', 'id,text\n1,x\n');
    write('mixed/.hidden', 'h');
    const { chosen, survey, said } = await choose(at('mixed'));
    expect(said).toEqual([
      'left out: 1 file (.png): not text',
      'left out: 1 file (.csv): of another format, which needs a source of its own',
    ]);
    expect(chosen.pattern).toBe(`${at('mixed')}/**/*{.txt,.md}`);
    expect(survey.bytes).toBe(2 * 9 * sentence.length);
    write('mixed/also.md', Uint8Array.of(0, 0, 0, 1));
    expect((await failureOf(choose(at('mixed')))).message).toMatch(
      /also.md is not text, and its name does not tell it/,
    );
  });

  it('are refused by the name that was typed', async () => {
    write('mobby.txt', sentence);
    write('book.pdf', Buffer.from('%PDF-1.7\n\0\0\x01\x02'));
    const message = async (typed: string): Promise<string> => (await failureOf(choose(typed))).message;
    expect(await message(at('moby.txt'))).toBe(
      `no such file or folder: ${at('moby.txt')}; did you mean ${at('mobby.txt')}?`,
    );
    expect(await message(at('book.pdf'))).toBe(`${at('book.pdf')} is not a text file; pdftotext makes text of it.`);
    expect(await message('-')).toContain('standard input');
  });
});

describe('the field of records', () => {
  const rows = [...Array(30).keys()].map((i) => ({ id: String(i), title: `T${i}`, body: i === 7 ? null : sentence }));

  it('is asked for by what there is, or taken and said', async () => {
    const file = write('rows.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { questions, asked } = answering('text', 'title');
    expect((await choose(file, { questions })).source.field).toBe('title');
    expect(asked).toEqual([
      'Field with the text (title, body) [body]: ',
      `${file} has no text in a field "text"; it has title, body.`,
      'Field with the text (title, body) [body]: ',
    ]);
    const taken = await choose(file);
    expect(taken.source).toEqual({ field: 'body', emptyRows: 'skip' });
    expect(taken.said).toEqual([
      'text is in the field body, of title, body',
      'records without text, passed over (emptyRows: skip): 1',
    ]);
    expect((await failureOf(choose(file, { field: 'nope' }))).message).toContain('has no text in a field "nope"');
  });
});

describe('a text that is not UTF-8', () => {
  it('is refused without a terminal, with the options that go on', async () => {
    const file = write('a letter.txt', latin);
    const { message } = await failureOf(choose(file));
    expect(message).toMatch(/a letter.txt is not UTF-8 \(byte 9,603\); as windows-1252 it reads: .*café\n/);
    expect(message).toContain(`clm init --text '${file}' --encoding windows-1252\n`);
    expect(message).toContain(`clm init --text '${file}' --encoding-errors replace`);
  });

  it('is converted, replaced or skipped as the options say', async () => {
    const file = write('letter.txt', latin);
    const copy = await choose(file, { encoding: 'windows-1252' });
    expect(copy).toMatchObject({
      chosen: { pattern: at('letter.utf-8.txt') },
      encodingErrors: null,
      survey: { badBytes: 0 },
    });
    expect(readFileSync(at('letter.utf-8.txt'), 'utf8').endsWith('café\n')).toBe(true);
    const kept = await choose(file, { encodingErrors: 'skip' });
    expect(kept).toMatchObject({ chosen: { pattern: file }, encodingErrors: 'skip', survey: { badBytes: 1 } });
    expect(kept.said).toEqual(['bytes that are not UTF-8 (encodingErrors: skip): 1']);
  });

  it('is asked about; UTF-16 can only be converted, a folder into a folder', async () => {
    write('old/a.txt', Buffer.from(`\uFEFF${sentence.repeat(20)}`, 'utf16le'));
    write('old/b.txt', latin);
    write('old/c.txt', 'naïve');
    const { questions, asked } = answering('replace', 'klingon', '');
    const { chosen, said } = await choose(at('old'), { questions });
    expect(asked.filter((line) => !line.startsWith('Encoding'))).toEqual([
      expect.stringContaining('is UTF-16: all of it would be lost'),
      '"klingon" is not an encoding; they have names such as windows-1252.',
    ]);
    expect(said[0]).toMatch(/a.txt is not UTF-8; as utf-16le it reads: The cat sat/);
    expect(chosen.pattern).toBe(at('old-utf-8'));
    expect(readFileSync(at('old-utf-8/a.txt'), 'utf8')).toBe(sentence.repeat(20));
    expect(readFileSync(at('old-utf-8/c.txt'), 'utf8')).toBe('naïve');
  });
});

describe('a path as it is typed', () => {
  it.each([
    ["'my texts/a.txt'", 'my texts/a.txt'],
    [String.raw`my\ texts/a.txt`, 'my texts/a.txt'],
    ['~/texts', path.join(process.env['HOME'] ?? '', 'texts')],
    ['plain.txt', 'plain.txt'],
  ])('%s', (typed, meant) => {
    expect(typedPath(typed)).toBe(meant);
  });
});
