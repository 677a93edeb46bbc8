/** `clm init`: asks for a text and a training time, measures this machine, and writes a commented config for them. */
import { execFile } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../../storage/temporaryPaths.ts';
import { writeOutputFile } from '../../../storage/outputFile.ts';
import { formatOfName } from '../../../data/files/formats.ts';
import { sourceFiles } from '../../../data/files/sourceFiles.ts';
import { ExpectedError, wrongInput } from '../../../errors.ts';
import {
  modelSizes,
  renderStartingConfig,
  sizeFor,
  stepFlops,
  stepsFor,
  type StartingChoices,
} from '../../../experiments/startingConfig.ts';
import { shellPath } from '../../../shellWord.ts';
import { takesEscapes } from '../../terminal/abilities.ts';
import { grouped, note, printError, printJson } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { initUsage } from './usage.ts';

export async function init(args: ArgumentsOf<typeof initUsage>): Promise<void> {
  const { text, field, minutes } = await answers(args);
  const textBytes = await bytesOf(text);
  const name =
    path
      .basename(path.resolve(text))
      .replace(/\.[^.]*$/, '')
      .replace(/[^\p{L}\p{M}\p{N}._-]/gu, '-')
      .replace(/^[-.]+/, '') || 'first';
  const output = args.output ?? `${name}.yaml`;
  if (existsSync(output)) throw wrongInput(`${output} already exists; choose another name with --output`);

  const say = args.quiet ? () => {} : note;
  const choices = (size: StartingChoices['size'], steps: number, folder: string): StartingChoices => ({
    ...{ name, minutes, size, steps, textBytes, field },
    textPath: path.relative(folder, path.resolve(text)).replaceAll(path.sep, '/'),
    schema: path
      .relative(folder, fileURLToPath(new URL('../../../../schema/config.schema.json', import.meta.url)))
      .replaceAll(path.sep, '/'),
  });
  const { path: scratch, remove } = temporaryFolder('clm-init-');
  try {
    const measure = (size: StartingChoices['size']): Promise<number> =>
      msPerStep(path.join(scratch, 'config.yaml'), renderStartingConfig(choices(size, 1000, scratch)));
    say('measuring the training speed on your text');
    const trial = modelSizes[1]!;
    const trialMs = await measure(trial);
    const size = sizeFor(minutes, stepFlops(trial, textBytes) / (trialMs / 1000), textBytes);
    const stepMs = size === trial ? trialMs : await measure(size);
    const steps = stepsFor(minutes, stepMs);
    await writeOutputFile(output, renderStartingConfig(choices(size, steps, path.dirname(path.resolve(output)))));
    if (args.json) printJson({ config: path.resolve(output), ...size, steps, msPerStep: stepMs });
    const time = `${grouped(steps)} steps of ${stepMs.toFixed(1)} ms`;
    say(`wrote ${output}: ${size.layers} layers of width ${size.width}, ${time}`);
    say(`to train: clm train ${shellPath(output)}`);
  } finally {
    remove();
  }
}

interface Answers {
  text: string;
  field: string | null;
  minutes: number;
}

/** Asks for what the options do not give, if stdin is a terminal. */
async function answers({ text, minutes, ...rest }: ArgumentsOf<typeof initUsage>): Promise<Answers> {
  if (minutes !== undefined) checkMinutes(minutes);
  const field = rest.field ?? null;
  if (field === '')
    throw wrongInput('--field is empty. Name the field or column that contains the text, or leave it out.');
  if (text !== undefined && minutes !== undefined) return { text, field, minutes };
  if (!process.stdin.isTTY) {
    if (text === undefined)
      throw wrongInput(
        '--text is missing, and there is no terminal to ask on. Run e.g. clm init --text FILE --minutes 5',
      );
    return { text, field, minutes: minutes ?? 5 };
  }
  const { ask, close } = openQuestions();
  try {
    const askedText = text ?? (await ask('Text to train on (a file or a folder): ', existingText));
    const hasFields = formatOfName(askedText) !== 'text';
    const askedField =
      field ??
      (hasFields ? await ask('Field or column that contains the text [text]: ', (answer) => answer || 'text') : null);
    const askedMinutes =
      minutes ?? (await ask('Training time in minutes [5]: ', (answer) => checkMinutes(Number(answer || 5))));
    return { text: askedText, field: askedField, minutes: askedMinutes };
  } finally {
    close();
  }
}

interface Questions {
  /** Asks until `accept` takes the answer; its errors are printed. */
  ask: <Answer>(question: string, accept: (answer: string) => Answer | Promise<Answer>) => Promise<Answer>;
  close: () => void;
}

function openQuestions(): Questions {
  const terminal = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY && takesEscapes(process.stderr),
  });
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const left = new Promise<never>((_, reject) =>
    terminal.once('close', () => reject(wrongInput('There was no answer; no config was written.'))),
  );
  left.catch(() => undefined); // matters only while a question is open
  return {
    ask: async (question, accept) => {
      for (;;) {
        const answer = (await Promise.race([terminal.question(question), left])).trim();
        try {
          return await accept(answer);
        } catch (error) {
          if (!(error instanceof ExpectedError)) throw error;
          printError(error.message);
        }
      }
    },
    close: () => terminal.close(),
  };
}

async function existingText(answer: string): Promise<string> {
  if (answer === '') throw wrongInput('Enter a text file, or a folder of text files.');
  await bytesOf(answer);
  return answer;
}

function checkMinutes(minutes: number): number {
  if (minutes > 0 && minutes <= 60 * 24 * 30) return minutes;
  throw wrongInput('--minutes must be a number greater than 0, and at most 43200 (30 days)');
}

/** Bytes of all files of the text. @throws wrongInput if there are none */
async function bytesOf(text: string): Promise<number> {
  const { files } = await sourceFiles([{ path: text }], '--text');
  return files.reduce((sum, { path: file }) => sum + statSync(file).size, 0);
}

/** Measured by `clm bench` in a separate process. @throws wrongInput with its message */
async function msPerStep(file: string, config: string): Promise<number> {
  writeFileSync(file, config);
  try {
    const args = [process.argv[1]!, 'bench', file, '--steps', '10', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { msPerStep: number }).msPerStep;
  } catch (error) {
    const message = /error: ([^\n]+)/.exec(String((error as { stderr?: string }).stderr))?.[1];
    throw message === undefined ? error : wrongInput(message, { cause: error });
  }
}
