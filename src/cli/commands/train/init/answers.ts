/** What `clm init` needs to know: from the options, and from questions if there is a terminal to ask on. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { wrongInput } from '../../../../errors.ts';
import { isEncoding } from '../../../../data/survey/encodings.ts';
import { shellPath } from '../../../../shellWord.ts';
import type { ArgumentsOf } from '../../../usage.ts';
import type { initUsage } from '../usage.ts';
import { parseDuration } from '../../../../duration.ts';
import { chooseText, type ChosenText } from './chooseText.ts';
import { firstFree, freeName } from './names.ts';
import { openQuestions, typedPath, type Questions } from './questions.ts';

export interface Answers {
  text: ChosenText;
  minutes: number;
  /** The config file to write. */
  output: string;
  /** Of the run. */
  name: string;
}

/** @throws wrongInput for options that will not do, and for what is missing if nobody can be asked */
export async function answers(args: ArgumentsOf<typeof initUsage>, say: (line: string) => void): Promise<Answers> {
  if (args.minutes !== undefined) checkMinutes(args.minutes, `--minutes ${args.minutes}`);
  if (args.field === '')
    throw wrongInput('--field is empty. Name the field or column that contains the text, or leave it out.');
  if (args.encoding !== undefined && !isEncoding(args.encoding))
    throw wrongInput(`--encoding ${args.encoding} is not an encoding; they have names such as windows-1252.`);
  if (args.output !== undefined && existsSync(args.output)) throw taken(args.output);
  const isAsking = process.stdin.isTTY && !args.yes;
  if (args.text === undefined && !isAsking)
    throw wrongInput('--text is missing, and there is nobody to ask. Run e.g. clm init --text FILE --minutes 5');
  const questions = isAsking ? openQuestions() : undefined;
  try {
    const { field, encoding, encodingErrors, yes } = args;
    const choose = (typed: string): Promise<ChosenText> =>
      chooseText(typed, { field, encoding, encodingErrors, yes, questions, say });
    let typed = args.text ?? '';
    const text =
      args.text !== undefined
        ? await choose(args.text)
        : await questions!.ask('Text to train on (a file or a folder): ', (answer) => {
            if (answer === '') throw wrongInput('Type the name of a text file, or of a folder of text files.');
            typed = typedPath(answer);
            return choose(typed);
          });
    const minutes = args.minutes ?? (await questions?.ask('Training time in minutes [5]: ', minutesOf)) ?? 5;
    const name = freeName(typed);
    const output = args.output ?? (await outputOf(`${name}.yaml`, args.yes, questions));
    return { text, minutes, output, name };
  } finally {
    questions?.close();
  }
}

/** @param standard the config's name if no file has it */
async function outputOf(standard: string, yes: boolean, questions: Questions | undefined): Promise<string> {
  if (!existsSync(standard)) return standard;
  const free = `${firstFree(standard.replace(/\.yaml$/, ''), (name) => existsSync(`${name}.yaml`))}.yaml`;
  if (yes) return free;
  if (questions === undefined) throw taken(standard, free);
  return questions.ask(`${standard} already exists. Another name for the config [${free}]: `, (answer) => {
    const output = typedPath(answer || free);
    if (existsSync(output)) throw taken(output);
    return path.extname(output) === '' ? `${output}.yaml` : output;
  });
}

const taken = (output: string, free = `${output.replace(/\.ya?ml$/, '')}-2.yaml`): Error =>
  wrongInput(`${output} already exists, and is not overwritten. Choose another name: --output ${shellPath(free)}`);

/** Minutes of an answer: a number, or a duration such as 90s or 2h. */
function minutesOf(answer: string): number {
  if (answer === '') return 5;
  const isNumber = /^\d+([.,]\d+)?$/.test(answer);
  const minutes = isNumber ? Number(answer.replace(',', '.')) : parseDuration(answer, 'The training time') / 60_000;
  return checkMinutes(minutes, answer);
}

function checkMinutes(minutes: number, written: string): number {
  if (minutes > 0 && minutes <= 60 * 24 * 30) return minutes;
  throw wrongInput(`${written}: the training time must be more than 0 minutes, and at most 43200 (30 days)`);
}
