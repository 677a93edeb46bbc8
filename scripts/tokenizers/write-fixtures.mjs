// Writes the fixtures of test/data/tokenizers/fixtures: small tokenizers that Hugging Face trained, with its ids.
// `node scripts/tokenizers/write-fixtures.mjs PYTHON`; PYTHON has the packages tokenizers and numpy.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { mixedDocuments } from './mixed-text.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'clm-fixtures-'));
const lines = (name, texts) => {
  const file = path.join(folder, name);
  writeFileSync(file, texts.map((text) => `${JSON.stringify([text, text.normalize('NFC')])}\n`).join(''));
  return file;
};
const cases = [
  '',
  ' ',
  'Call me Ishmael. Some years ago--never mind how long precisely',
  "I'm, you're, WE'LL; it'S they'd'VE 'tis 'ſ",
  ' two  spaces   three\n\n\nlines \r\n\t tabs\t\tend  ',
  'x = [1, 22, 333, 4444]; // 2024-11-25 10:00\n  return x?.y ?? "z";\n',
  'Тихий океан, 太平洋、태평양 المحيط الهادئ महासागर',
  'e\u0301 cafe\u0301 Å \u1e9b\u0323',
  '👩🏽‍🚀 🏳️‍🌈 🇫🇷 ☺️',
  '<|endoftext|>a<|endoftext|> <s>b</s> <tool_call>é</tool_call>',
  '\u00a0\u2003\u3000\u0085\u2028\ufeff x \u00a0 y',
  '½ Ⅷ ٣٤ ²³ 1٣2',
  '▁a▁▁b',
  "parseHTTPRequest GPT4o's iPhoneʼs ǅungla ÉCOLE's École/école//\n\n/x 漢字Kanji e\u0301E\u0301's",
  'a  <mask> b<mask>  c \n<mask><mask> d <r>  \n e<r>\u3000f \t<both>\n g <both> <both>h',
  'word sword words word-word _word word\u0301 (word)',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
];
try {
  const prose = [...mixedDocuments(30_000, 3, root)].map((text) => text.slice(0, 2500));
  const training = lines('training.jsonl', [...prose, ...cases]);
  const texts = lines('texts.jsonl', cases);
  const target = path.join(root, 'test/data/tokenizers/fixtures');
  mkdirSync(target, { recursive: true });
  for (const kind of ['gpt2', 'roberta', 'llama3', 'o200k', 'qwen2', 'smollm', 'llama2']) {
    const script = path.join(root, 'scripts/tokenizers/huggingface.py');
    execFileSync(process.argv[2], [
      script,
      'fixture',
      kind,
      training,
      texts,
      kind === 'llama2' ? '900' : '420',
      path.join(target, `${kind}.json`),
    ]);
  }
} finally {
  rmSync(folder, { recursive: true });
}
