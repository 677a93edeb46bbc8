/** The files of a text that are trained on: text of one format. What is left out is said. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { escapePath, isDynamicPattern } from 'tinyglobby';
import { seeFiles, wayToText, type SeenFile } from '../../../../data/survey/files.ts';
import type { Format } from '../../../../data/files/formats.ts';
import { wrongInput } from '../../../../errors.ts';
import { nearest } from '../../../hints/nearest.ts';

export interface ChosenFiles {
  files: SeenFile[];
  format: Format;
  /** The file, folder or glob that stands for them. */
  pattern: string;
  /** The folder that they are in; undefined for a file or a glob. */
  folder: string | undefined;
  /** Sentences about files that are left out. */
  leftOut: string[];
}

/** @param typed a file, a folder or a glob. @throws wrongInput naming it, if there is no text there */
export async function chooseFiles(typed: string): Promise<ChosenFiles> {
  if (typed === '-')
    throw wrongInput('The text is read more than once, which standard input cannot be. Write it to a file first.');
  if (!existsSync(typed) && !isDynamicPattern(typed))
    throw wrongInput(`no such file or folder: ${typed}${nameLike(typed)}`);
  const all = (await seeFiles(typed)).filter(({ bytes }) => bytes > 0);
  const texts = all.filter(({ encoding }) => encoding !== null);
  if (texts.length === 0) {
    const first = all[0]!.path;
    throw wrongInput(`${all.length === 1 ? typed : `${typed}: ${first}`} is not a text file; ${wayToText(first)}.`);
  }
  const format = mostOf(texts);
  const files = texts.filter((file) => file.format === format);
  const others = all.filter((file) => !files.includes(file));
  const folder = existsSync(typed) && statSync(typed).isDirectory() ? typed : undefined;
  if (others.length === 0) return { files, format, pattern: typed, folder, leftOut: [] };
  const first = others[0]!;
  const pattern = folder === undefined ? undefined : globOf(folder, files, others);
  if (pattern === undefined)
    throw wrongInput(
      `${typed}: ${first.path} is ${first.encoding === null ? 'not text' : 'of another format'}, and its name ` +
        'does not tell it from the others. Move it elsewhere, or name the files by a glob.',
    );
  return { files, format, pattern, folder, leftOut: leftOutOf(others) };
}

/** The format with the most bytes. */
function mostOf(files: readonly SeenFile[]): Format {
  const bytes = new Map<Format, number>();
  for (const file of files) bytes.set(file.format, (bytes.get(file.format) ?? 0) + file.bytes);
  return [...bytes].sort((a, b) => b[1] - a[1])[0]![0];
}

const extensionOf = (file: string): string => /\.[^./]+(\.(gz|gzip|zst|zstd))?$/i.exec(path.basename(file))?.[0] ?? '';

/** A glob for `files` alone; undefined if extensions do not tell them from the others. */
function globOf(folder: string, files: readonly SeenFile[], others: readonly SeenFile[]): string | undefined {
  const extensions = [...new Set(files.map((file) => extensionOf(file.path)))];
  const isShared = others.some((file) => extensions.includes(extensionOf(file.path)));
  if (isShared || extensions.includes('')) return undefined;
  const names = extensions.map((name) => escapePath(name));
  const any = names.length === 1 ? names[0] : `{${names.join(',')}}`;
  return `${escapePath(path.normalize(folder)).replace(/\/+$/, '')}/**/*${any}`;
}

function leftOutOf(others: readonly SeenFile[]): string[] {
  const kinds: [string, SeenFile[]][] = [
    ['not text', others.filter(({ encoding }) => encoding === null)],
    ['of another format, which needs a source of its own', others.filter(({ encoding }) => encoding !== null)],
  ];
  return kinds
    .filter(([, files]) => files.length > 0)
    .map(([why, files]) => {
      const extensions = [...new Set(files.map((file) => extensionOf(file.path) || path.basename(file.path)))];
      return `left out: ${files.length} ${files.length === 1 ? 'file' : 'files'} (${extensions.join(', ')}): ${why}`;
    });
}

function nameLike(typed: string): string {
  const folder = path.dirname(typed);
  const names = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
  const [near] = nearest(path.basename(typed), names);
  return near === undefined ? '' : `; did you mean ${path.join(folder, near)}?`;
}
