/** `clm score`: computes log-probabilities of texts, and finds the most likely of several choices. */
import { wrongInput } from '../../../errors.ts';
import { loadModel } from '../../../sampling/loadModel.ts';
import { scoreChoices, scoreText, type ScoringTools } from '../../../sampling/scoring/textScores.ts';
import type { ChoiceScores, TextScore } from '../../../sampling/scoring/textScores.ts';
import { openTokenLosses } from '../../../sampling/scoring/tokenLosses.ts';
import { harmless, printFinal, printJson, printResult } from '../../terminal/output.ts';
import { linesOf, parseObject, placeOf } from './promptsFile.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { scoreUsage } from './usage.ts';

export async function score(args: ArgumentsOf<typeof scoreUsage>): Promise<void> {
  const items = itemsOf(args);
  const { checkpoint, device, weights } = args;
  const model = await loadModel(args.run, { checkpoint, device, weights });
  try {
    const { config, tokenizer, session, table } = model;
    const tools = { tokenLosses: openTokenLosses(session, config.model, table, tokenizer.vocabularySize), tokenizer };
    const correct = { questions: 0, best: 0, bestPerByte: 0 };
    for await (const item of items) {
      if (process.stdout.errored) return; // the reader has gone
      await printScore(tools, item, args.json, correct);
    }
    if (correct.questions === 0) return;
    const summary = {
      questions: correct.questions,
      accuracy: correct.best / correct.questions,
      accuracyPerByte: correct.bestPerByte / correct.questions,
    };
    const perByte = `${percent(summary.accuracyPerByte)} by log-probability per byte`;
    if (args.json) printJson(summary);
    else {
      printResult(`${summary.questions} questions: ${percent(summary.accuracy)} correct, ${perByte}`);
      printFinal(summary);
    }
  } finally {
    model.close();
  }
}

type Item = { place: string; id?: unknown } & (
  | { text: string }
  | { prompt: string; choices: string[]; answer?: number }
);

async function printScore(
  tools: ScoringTools,
  item: Item,
  json: boolean,
  correct: { questions: number; best: number; bestPerByte: number },
): Promise<void> {
  const id = item.id === undefined ? {} : { id: item.id };
  if ('text' in item) {
    const score = await named(item.place, () => scoreText(tools, item.text));
    if (json) printJson({ ...id, text: item.text, ...score });
    else printResult(`${scoreLine(score)}  ${harmless(JSON.stringify(item.text))}`);
    return;
  }
  const scores: ChoiceScores = await named(item.place, () => scoreChoices(tools, item.prompt, item.choices));
  if (item.answer !== undefined) {
    correct.questions++;
    correct.best += Number(scores.best === item.answer);
    correct.bestPerByte += Number(scores.bestPerByte === item.answer);
  }
  if (json) {
    printJson({ ...id, prompt: item.prompt, ...scores, ...(item.answer === undefined ? {} : { answer: item.answer }) });
    return;
  }
  for (const [i, choice] of scores.choices.entries()) {
    printResult(
      `${i === scores.best ? '→' : ' '} ${scoreLine(choice)}  ${harmless(JSON.stringify(item.prompt + choice.text))}`,
    );
  }
}

/** The texts to score, from the command line, a file, or stdin. @throws wrong input for conflicting options */
function itemsOf({ text, prompt, choice, file }: ArgumentsOf<typeof scoreUsage>): AsyncIterable<Item> | Item[] {
  const given = [text, prompt ?? choice, file].filter((value) => value !== undefined).length;
  if (given > 1) throw wrongInput('give only one of --text, --prompt with --choice, and --file');
  if (text !== undefined) return [{ place: '', text }];
  if (prompt !== undefined || choice !== undefined) {
    if (prompt?.length !== 1 || choice === undefined)
      throw wrongInput('--choice needs exactly one --prompt, and --prompt at least one --choice');
    return [{ place: '', prompt: prompt[0]!, choices: choice }];
  }
  return itemsOfFile(file ?? '-');
}

async function* itemsOfFile(file: string): AsyncGenerator<Item, void, void> {
  let number = 0;
  for await (const line of linesOf(file)) {
    const place = placeOf(file, ++number);
    if (line.trim() === '') continue;
    const { text, prompt, choices, answer, id, ...unknown } = parseObject(line, place);
    const [key] = Object.keys(unknown);
    if (key !== undefined)
      throw wrongInput(`${place}unknown key "${key}"; known are text, prompt, choices, answer and id`);
    if (typeof text === 'string' && prompt === undefined && choices === undefined) {
      yield { place, text, ...(id === undefined ? {} : { id }) };
      continue;
    }
    const isList =
      Array.isArray(choices) && choices.length > 0 && choices.every((choice) => typeof choice === 'string');
    if (typeof prompt !== 'string' || !isList)
      throw wrongInput(`${place}give either "text", or "prompt" and a list of "choices"`);
    if (
      answer !== undefined &&
      !(Number.isInteger(answer) && (answer as number) >= 0 && (answer as number) < choices.length)
    ) {
      throw wrongInput(`${place}"answer" must be the index of the correct choice in "choices", from 0`);
    }
    yield {
      place,
      prompt,
      choices,
      ...(answer === undefined ? {} : { answer: answer as number }),
      ...(id === undefined ? {} : { id }),
    };
  }
}

/** Adds the place of the text to the message if it cannot be scored. */
async function named<T>(place: string, score: () => Promise<T>): Promise<T> {
  try {
    return await score();
  } catch (error) {
    if (place === '' || !(error instanceof Error) || error.name !== 'ExpectedError') throw error;
    throw wrongInput(`${place}${error.message}`, { cause: error });
  }
}

const scoreLine = ({ logProbability, tokens }: TextScore): string =>
  `ln p ${logProbability.toFixed(3).padStart(9)}` +
  `  ${(logProbability / tokens).toFixed(3).padStart(7)} per token (${tokens})`;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
