/** The text of a starter config: its files, the field of its records, its encoding, and what it is like. */
import path from 'node:path';
import { contentBytes } from '../../../../data/files/content.ts';
import type { CorpusFile, SourceSettings } from '../../../../data/files/corpus.ts';
import { encodingOf, excerptIn, isEncoding } from '../../../../data/survey/encodings.ts';
import { chatFieldOf, likeliestField, textFields } from '../../../../data/survey/fields.ts';
import { sampleAt, type SeenFile } from '../../../../data/survey/files.ts';
import { firstBadByte, openSource, surveyText, type TextSurvey } from '../../../../data/survey/survey.ts';
import { writeUtf8Copy } from '../../../../data/survey/utf8Copy.ts';
import { firstBadByte as firstBadByteOf } from '../../../../data/utf8.ts';
import { wrongInput } from '../../../../errors.ts';
import { hasManyDocuments } from '../../../../experiments/startingChoices.ts';
import { shellPath } from '../../../../shellWord.ts';
import { grouped } from '../../../terminal/output.ts';
import { showWaiting } from '../../../terminal/liveLine.ts';
import { chooseFiles, type ChosenFiles } from './chooseFiles.ts';
import type { Questions } from './questions.ts';

export interface ChosenText {
  chosen: ChosenFiles;
  /** Of the config's source, besides its path. */
  source: Omit<SourceSettings, 'path'>;
  encodingErrors: 'replace' | 'skip' | null;
  survey: TextSurvey;
  /** Whether it consists of documents. */
  hasDocuments: boolean;
}

export interface TextOptions {
  field: string | undefined;
  /** Label of the Encoding Standard. */
  encoding: string | undefined;
  encodingErrors: 'replace' | 'skip' | undefined;
  /** Takes what is proposed, without asking. */
  yes: boolean;
  /** undefined: there is nobody to ask. */
  questions: Questions | undefined;
  say: (line: string) => void;
}

/** @param typed a file, a folder or a glob. @throws wrongInput if it cannot be trained on as the options say */
export async function chooseText(typed: string, options: TextOptions): Promise<ChosenText> {
  const chosen = await chooseFiles(typed);
  for (const line of chosen.leftOut) options.say(line);
  const foreign = chosen.files.find(({ encoding }) => encoding !== 'utf-8');
  if (foreign !== undefined || options.encoding !== undefined) {
    const at = foreign ?? chosen.files[0]!;
    const solved = await solveEncoding(typed, chosen, { file: at, byte: 0 }, options);
    if ('copy' in solved) return chooseText(solved.copy, { ...options, encoding: undefined });
    options = { ...options, ...solved };
  }
  const isTable = chosen.format !== 'text';
  const documents = !isTable && hasManyDocuments(chosen.files.length) ? 'file' : 'running';
  const base: SourceSettings = { path: chosen.pattern, ...(documents === 'file' && { documents }) };
  const clearWaiting = showWaiting('reading the text');
  const field = isTable ? await openSource(base, true).then(({ files }) => files) : undefined;
  clearWaiting();
  const source = { ...base, ...(field && (await chooseField(typed, field[0]!, options))) };
  const corpus = await openSource(source, isTable);
  const clear = showWaiting('reading the text');
  const survey = await surveyText(corpus).finally(clear);
  if (survey.badBytes > 0 && options.encodingErrors === undefined) {
    const bad = await firstBadByte(corpus.files);
    const file = chosen.files.find((each) => each.path === bad?.file.path) ?? chosen.files[0]!;
    const solved = await solveEncoding(typed, chosen, { file, byte: bad?.byte ?? 0 }, options);
    if ('copy' in solved) return chooseText(solved.copy, { ...options, encoding: undefined });
    options = { ...options, ...solved };
  }
  if (survey.badBytes > 0)
    options.say(`bytes that are not UTF-8 (encodingErrors: ${options.encodingErrors}): ${grouped(survey.badBytes)}`);
  if (survey.rowsWithoutText > 0)
    options.say(`records without text, passed over (emptyRows: skip): ${grouped(survey.rowsWithoutText)}`);
  const { path: _, ...keys } = source;
  return {
    chosen,
    source: { ...keys, ...(survey.rowsWithoutText > 0 && { emptyRows: 'skip' }) },
    encodingErrors: survey.badBytes > 0 ? (options.encodingErrors ?? null) : null,
    survey,
    hasDocuments: isTable || documents === 'file',
  };
}

async function chooseField(
  typed: string,
  file: CorpusFile,
  { field, questions, yes, say }: TextOptions,
): Promise<Pick<SourceSettings, 'field' | 'messages'>> {
  const fields = await textFields(file);
  const names = fields.map(({ name }) => name);
  const check = (name: string): string => {
    if (names.includes(name)) return name;
    throw wrongInput(`${typed} has no text in a field "${name}"; it has ${names.join(', ')}.`);
  };
  const chats = await chatFieldOf(file);
  if (chats !== undefined && (field ?? chats) === chats) {
    const others = names.length === 0 ? '' : `; for a text in its place: --field ${names.join(' or ')}`;
    say(`chats are in the field ${chats} (docs/chat.md)${others}`);
    return { messages: chats };
  }
  const likeliest = likeliestField(fields)?.name;
  if (likeliest === undefined) throw wrongInput(`${typed} has no field with text in its first records.`);
  if (field !== undefined) return { field: check(field) };
  if (names.length === 1 || yes || questions === undefined) {
    say(`text is in the field ${likeliest}${names.length === 1 ? '' : `, of ${names.join(', ')}`}`);
    return { field: likeliest };
  }
  return questions.ask(`Field with the text (${names.join(', ')}) [${likeliest}]: `, (answer) => ({
    field: check(answer || likeliest),
  }));
}

type Solved = { copy: string } | { encodingErrors: 'replace' | 'skip' };

/** What becomes of a text that is not UTF-8: a copy that is, or U+FFFD or nothing in the place of each bad byte. */
async function solveEncoding(
  typed: string,
  chosen: ChosenFiles,
  { file, byte: known }: { file: SeenFile; byte: number },
  { encoding, encodingErrors, questions, yes, say }: TextOptions,
): Promise<Solved> {
  const start = sampleStart(known);
  const sample = await sampleAt(file, start);
  const guess = encodingOf(sample) ?? 'windows-1252';
  const isWide = guess.startsWith('utf-16');
  const byte = known > 0 || isWide ? known : Math.max(0, firstBadByteOf(sample));
  const shown = shownPath(file.path);
  const accept = async (answer: string): Promise<Solved> => {
    if (answer === 'replace' || answer === 'skip') {
      if (isWide) throw wrongInput(`${shown} is UTF-16: all of it would be lost. Let it be converted.`);
      return { encodingErrors: answer };
    }
    if (!isEncoding(answer)) throw wrongInput(`"${answer}" is not an encoding; they have names such as windows-1252.`);
    return { copy: await copied(answer) };
  };
  const copied = async (label: string): Promise<string> => {
    if (chosen.folder === undefined && chosen.files.length > 1)
      throw wrongInput(`${typed} is a glob; name the folder for a copy of it in UTF-8, or answer replace or skip.`);
    const foreign = await foreignFiles(chosen.files);
    const encodingFor = (each: SeenFile): string => {
      const own = foreign.get(each.path);
      // What was proposed for one file stands for what would have been proposed for each.
      return own === undefined ? 'utf-8' : label === guess || own.startsWith('utf-16') ? own : label;
    };
    const copy = await writeUtf8Copy(
      chosen.files.map((each) => ({ ...each, encoding: encodingFor(each) })),
      chosen.folder,
    );
    const of = chosen.files.length === 1 ? '' : ` (${grouped(foreign.size)} of ${grouped(chosen.files.length)} files)`;
    say(`wrote a copy that is converted to UTF-8${of}: ${shownPath(copy)}`);
    return copy;
  };
  if (encoding !== undefined) return accept(encoding);
  if (encodingErrors !== undefined && !isWide) return { encodingErrors };
  const reading = `as ${guess} it reads: ${excerptIn(guess, sample, byte - start)}`;
  const problem = `${shown} is not UTF-8${byte > 0 ? ` (byte ${grouped(byte)})` : ''}; ${reading}`;
  if (yes) {
    say(problem);
    return accept(guess);
  }
  if (questions === undefined) {
    const command = `clm init --text ${shellPath(typed)}`;
    throw wrongInput(
      `${problem}\nTo train on a copy that is converted: ${command} --encoding ${guess}` +
        (isWide ? '' : `\nTo train on it as it is, with U+FFFD for bad bytes: ${command} --encoding-errors replace`),
    );
  }
  say(problem);
  const others = isWide ? '' : ', or replace or skip its bad bytes';
  return questions.ask(`Encoding to convert a copy from${others} [${guess}]: `, (answer) => accept(answer || guess));
}

/** The files that are not UTF-8 from start to end, and what encoding each seems to be in. */
async function foreignFiles(files: readonly SeenFile[]): Promise<Map<string, string>> {
  const foreign = new Map<string, string>();
  for (const file of files) {
    if (file.encoding !== 'utf-8') {
      foreign.set(file.path, file.encoding!);
      continue;
    }
    const bytes = file.compression === null ? file.bytes : await contentBytes(file.path, file.compression);
    const bad = await firstBadByte([{ ...file, bytes, startByte: 0, markBytes: 0, format: 'text' }]);
    if (bad !== undefined) foreign.set(file.path, await guessedAt(file, bad.byte));
  }
  return foreign;
}

const guessedAt = async (file: SeenFile, byte: number): Promise<string> =>
  encodingOf(await sampleAt(file, sampleStart(byte))) ?? 'windows-1252';

/** Some text before the byte belongs to a sample; UTF-16 has two bytes a character. */
const sampleStart = (byte: number): number => 2 * Math.floor(Math.max(0, byte - 2000) / 2);

/** As the user would write it. */
function shownPath(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative.startsWith('..') ? file : relative;
}
